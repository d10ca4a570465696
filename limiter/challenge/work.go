package challenge

// How much work is asked, and whether it was done.
//
// It is asked in parts, 32 to 64 of them, because the time of many small searches is nearly
// the same for everybody, and that of a large one is a lottery: two in three people are
// within a sixth of the mean. To check it costs one hash each, some 6 µs in all.
//
// What is expected, and for how long that keeps a browser busy. An old phone makes some
// 50,000 hashes a second, a laptop with several threads 500,000:
//
//	  hashes     50 kH/s   500 kH/s
//	   65,536      1.3 s      0.1 s
//	  262,144      5.2 s      0.5 s
//	1,048,576       21 s      2.1 s
//	2,097,152       42 s      4.2 s   never more, unless the rule's own Work is

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

const (
	fewestParts = 32
	mostParts   = 64
	mostWork    = 1 << 21 // hashes
	mostBits    = 48      // so that numbers below 2^53 are enough

	numbersEnd = 1 << 53
	digits53   = 16 // of the largest such number
)

// price is the parts and bits that come nearest to the hashes of the rule, doubled with
// each level, and up to eightfold as the load goes from 0 to 1.
func price(hashes int, level uint8, load float64) (parts, zeros uint8) {
	if !(load > 0) { // nor is what is not a number
		load = 0
	}
	want := float64(max(hashes, 1)) * math.Exp2(float64(level)+3*min(load, 1))
	want = min(want, float64(max(hashes, mostWork)))
	b := min(max(1, math.Floor(math.Log2(want/fewestParts))), mostBits)
	p := min(max(fewestParts, math.Round(want/math.Exp2(b))), mostParts)
	return uint8(p), uint8(b)
}

// worked reports whether text answers the parts. It is read whole before anything is hashed.
func worked(seed, text string, parts, zeros uint8) bool {
	if parts == 0 || parts > mostParts || len(text) > int(parts)*(digits53+1)-1 {
		return false
	}
	var numbers [mostParts]uint64
	for i := range parts {
		word, rest, more := strings.Cut(text, ",")
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil || n >= numbersEnd || len(word) > 1 && word[0] == '0' || more != (i < parts-1) {
			return false
		}
		numbers[i], text = n, rest
	}
	var room [64]byte
	for i, n := range numbers[:parts] {
		in := append(append(room[:0], seed...), ':')
		in = append(strconv.AppendInt(in, int64(i), 10), ':')
		sum := sha256.Sum256(strconv.AppendUint(in, n, 10))
		if bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:])) < int(zeros) {
			return false
		}
	}
	return true
}
