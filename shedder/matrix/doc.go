// Package matrix plays crowds against modelled origins in virtual time, with the shedder
// or something else between them, and says how much of what was possible came through.
//
// All of it is in its tests. `go test ./shedder/matrix` plays the short form;
// `make bench-overload` plays everything and writes RESULTS.md; and one cell alone, with
// a line per second of what happened, is played by
//
//	MATRIX=O2/step100/ours/seed=3 go test -run TestCell -v ./shedder/matrix
//
// A hundred percent is what the best fixed limit, found by search, gets from the same
// origin under the same crowd in the same seconds (oracle.tsv).
//
// It gives up the network, parsing and the gateway's own processor time: a refusal costs
// nothing here. What those cost is measured on the wire.
package matrix
