package report

// Figures and foreign names as people read them, the same on a terminal and on the page.

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// count is n with commas between thousands.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// span is m in the unit that suits it, with three digits that count.
func span(m Millis) string {
	v, unit := float64(m), " ms"
	if math.Abs(v) >= 1000 {
		v, unit = v/1000, " s"
	}
	switch a := math.Abs(v); {
	case unit == " s" && a >= 1000:
		return count(int64(math.Round(v))) + unit
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64) + unit
	case a >= 10:
		return trim(strconv.FormatFloat(v, 'f', 1, 64)) + unit
	}
	return trim(strconv.FormatFloat(v, 'f', 2, 64)) + unit
}

func trim(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

// places are how many decimals it takes to write a wanted share as a percentage.
func places(want float64) int {
	s := trim(strconv.FormatFloat(want*100, 'f', 6, 64))
	if i := strings.IndexByte(s, '.'); i >= 0 {
		return max(1, len(s)-i-1)
	}
	return 1
}

// percent writes a share with that many decimals. It errs against us (down where much is
// wanted, up where little is), so that 99.96 % never looks like the 100 % it was not.
func percent(share float64, decimals int, down bool) string {
	scale := math.Pow(10, float64(decimals))
	v := share * 100 * scale
	if down {
		v = math.Floor(v + 1e-9*scale)
	} else {
		v = max(0, math.Ceil(v-1e-9*scale))
	}
	return trim(strconv.FormatFloat(v/scale, 'f', decimals, 64)) + " %"
}

// few is the number in words where one would say it so.
func few(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// plain is a foreign name, fit for a terminal: no control characters, nothing that turns
// the direction of writing, and not too long.
func plain(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == 60 {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// width is how many cells s takes on a terminal. East Asian letters take two.
func width(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Mn, r):
		case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana), r >= 0x3001 && r <= 0x303f, r >= 0xff01 && r <= 0xff60:
			n += 2
		default:
			n++
		}
	}
	return n
}

// frequent are the keys of counts, the most frequent first, at most n of them; rest is
// what all others come to. What was admitted stands first, because it is what all the
// others are compared with.
func frequent(counts map[string]int64, n int) (keys []string, rest int64) {
	for k, c := range counts {
		if c != 0 {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		switch {
		case a == b:
			return 0
		case a == "admitted":
			return -1
		case b == "admitted":
			return 1
		case counts[a] != counts[b]:
			if counts[a] > counts[b] {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	if len(keys) <= n {
		return keys, 0
	}
	for _, k := range keys[n:] {
		rest += counts[k]
	}
	return keys[:n], rest
}
