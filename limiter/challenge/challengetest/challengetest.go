// Package challengetest solves challenges, for tests and for crowds that rehearse a sale.
//
// It solves proof of work, as a browser does and by one thread. It does not read images.
package challengetest

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"strconv"

	"penstock/proxy/gate"
)

// Solve finds the work of a puzzle, as it stands in an answer; "" if none is asked for. It
// takes about Parts times 2 to the power of Bits hashes.
func Solve(p gate.Puzzle) string {
	if p.Seed == "" {
		return ""
	}
	var answer, in []byte
	for i := range p.Parts {
		if i > 0 {
			answer = append(answer, ',')
		}
		in = append(append(in[:0], p.Seed...), ':')
		in = append(strconv.AppendInt(in, int64(i), 10), ':')
		answer = strconv.AppendUint(answer, search(in, p.Bits), 10)
	}
	return string(answer)
}

// search is the first number that follows in to a sum with so many zero bits.
func search(in []byte, zeros int) uint64 {
	for n := uint64(0); ; n++ {
		sum := sha256.Sum256(strconv.AppendUint(in, n, 10))
		if bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:])) >= zeros {
			return n
		}
	}
}
