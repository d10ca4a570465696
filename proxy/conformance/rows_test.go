package conformance

// The whole table.

func table() []row {
	var all []row
	for _, rows := range [][]row{framingRows(), headRows(), pathRows(), fieldRows(), bodyRows()} {
		all = append(all, rows...)
	}
	return all
}
