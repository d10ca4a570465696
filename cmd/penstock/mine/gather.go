package mine

// Farms that are told by all of one place together, as the gateway's ladder does while the sale
// is on: accounts that looked at the page by how many of them were early, the others by how many
// there are. Here the whole sale is known: where a page presses by itself for everybody, or comes
// from elsewhere and is in no log, nobody stands out.

const (
	early  = 360_000 // µs from the opening: few people have asked, an eighth
	moving = 540_000 // and few are in another network than when they looked

	leastSoon = 4   // early accounts of a place that nobody wonders about
	fewSoon   = .05 // and of those there that looked
	shareSoon = .3  // and as many more at the end of early
	wholeSoon = .25 // from which on all that looked there are of the farm, not the early ones only
	timesSoon = 2   // and times the share of them in the rest of the sale

	leastBare = 10 // accounts of a place that never looked
	timesBare = 5  // and times the share of them in the rest of the sale
)

// gathered links the accounts of one place that are more than people would be. They are of one
// sale, in the order of time.
func (l *linker) gathered(s []visitor, wide bool) error {
	var soon, looked, bare []visitor // the last two: as they first asked from there
	known, asked, lookers := map[uint64]bool{}, map[uint64]bool{}, 0
	for _, v := range s {
		if v.looked && !known[v.ref] {
			lookers++
		}
		known[v.ref] = true
		if v.looked && v.opened && v.first < early {
			soon = append(soon, v)
		}
		if v.first < 0 || asked[v.ref] {
			continue
		}
		if asked[v.ref] = true; v.looked {
			looked = append(looked, v)
		} else {
			bare = append(bare, v)
		}
	}
	if n := l.tooSoon(soon, lookers, len(looked)); n > 0 {
		farm := soon[:n]
		if float64(n) >= leastSoon+wholeSoon*float64(lookers) {
			farm = looked
		}
		if err := l.gather(farm, cohort{accounts: n, kind: bySoon, wide: wide}); err != nil {
			return err
		}
	}
	sale := s[0].sale
	if !l.tooMany(len(bare), len(asked), int(l.bare[sale].Load()), int(l.asked[sale].Load())) {
		return nil
	}
	return l.gather(bare, cohort{accounts: len(bare), kind: byBare, wide: wide})
}

// tooSoon holds the early ones of a place against those who looked there, and those who looked
// and asked in the rest of the sale: asked of them did here. It says how many are too many: those
// up to the last that came while they were.
func (l *linker) tooSoon(soon []visitor, lookers, asked int) (n int) {
	for i, v := range soon {
		sooner := 0
		for _, c := range l.looked[v.sale][:v.first/bin+1] {
			sooner += int(c)
		}
		others := max(int(l.asked[v.sale].Load()-l.bare[v.sale].Load())-asked, 0)
		elsewhere := float64(max(sooner-i-1, 0)) / float64(others+1)
		part := float64(v.first) / early
		if float64(i+1) >= leastSoon+max(fewSoon+shareSoon*part*part, timesSoon*elsewhere)*float64(lookers) {
			n = i + 1
		}
	}
	return n
}

// tooMany reports whether bare of those at a place are no chance, where it is allBare of all.
func (l *linker) tooMany(bare, here, allBare, all int) bool {
	elsewhere := float64(allBare-bare+1) / float64(all-here+2)
	return bare >= leastBare && float64(bare) >= timesBare*elsewhere*float64(here)
}

// gather links accounts as one ring.
func (l *linker) gather(all []visitor, c cohort) error {
	for i := 1; i < len(all); i++ {
		if err := l.link(all[i-1].ref, all[i].ref, linked, c.kind); err != nil {
			return err
		}
	}
	if len(all) > 0 {
		c.member, c.among, c.site, c.from = all[0].ref, len(all), all[0].site, all[0].first
		l.cohorts = append(l.cohorts, c)
	}
	return nil
}
