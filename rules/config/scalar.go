package config

// Single values, strictly and as written. The forms are narrower than those of the
// packages that parse them: one way to write a thing is one thing less to look up.

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"gopkg.in/yaml.v3"
)

// one reads a single value as the text it is written as, not as what YAML makes of
// it: so 0100, 1_000, yes and 1:30 mean nothing here. What is not right is told, and
// the default used in its place, so that one fault does not make others.
func one[T any](v value, k kind, parse func(string) (T, bool)) T {
	if v.node != nil {
		if v.node.Kind != yaml.ScalarNode {
			v.fault(notSingle, form(v.node))
		} else if x, ok := parse(v.node.Value); ok {
			return x
		} else {
			v.fault(k, v.node.Value)
		}
	}
	return instead(v, parse)
}

// instead is what v's default says.
func instead[T any](v value, parse func(string) (T, bool)) T {
	var x T
	if v = v.fallback(); v.node != nil {
		x, _ = parse(v.node.Value)
	}
	return x
}

// bare is one for values that must not be quoted.
func bare[T any](v value, k kind, parse func(string) (T, bool)) T {
	const anyQuote = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	if v.node != nil && v.node.Kind == yaml.ScalarNode && v.node.Style&anyQuote != 0 {
		v.fault(quoted, v.node.Value)
		return instead(v, parse)
	}
	return one(v, k, parse)
}

// text reads text; empty text stands for none where that is the default.
func (v value) text() string {
	s := one(v, notText, func(s string) (string, bool) {
		return s, strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
	})
	if s == "" && v.node != nil && v.node.Kind == yaml.ScalarNode && v.node.Value == "" && v.key.def != `""` {
		v.fault(noValue)
	}
	return s
}

// boolean takes true and false, unquoted, and none of the other words of YAML 1.1.
func (v value) boolean() bool {
	return bare(v, notBoolean, func(s string) (bool, bool) { return s == "true", s == "true" || s == "false" })
}

// integer reads an unquoted whole number from least to most.
func (v value) integer(least, most int) int {
	read := func() int64 { return int64(bare(v, notInteger, parseInteger)) }
	return int(v.within(int64(least), int64(most), read, func(n int64) string { return fmt.Sprint(n) }))
}

// within reads a number and tells when it is out of its range. A default never is.
func (v value) within(least, most int64, read func() int64, write func(int64) string) int64 {
	told := len(v.r.faults)
	n := read()
	if v.given && v.node != nil && len(v.r.faults) == told && (n < least || n > most) {
		v.fault(outOfRange, v.node.Value, write(least), write(most))
		return least
	}
	return n
}

var integerForm = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// parseInteger is strict about zeros in front, which other programs read as octal.
func parseInteger(s string) (int, bool) {
	if !integerForm.MatchString(s) {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		n = math.MaxInt // out of any range
	}
	return n, true
}

// autoOr reads "auto", which is 0, or an integer.
func (v value) autoOr(least, most int) int {
	if v.node != nil && v.node.Kind == yaml.ScalarNode && v.node.Value == "auto" {
		return 0
	}
	return v.integer(least, most)
}

var durationForm = regexp.MustCompile(`^(0s|([1-9][0-9]*(ms|s|m|h))+)$`)

// longest is the longest length of time a key takes; sums of a few stay far from overflow.
const longest = 7 * 24 * time.Hour

// duration reads a length of time of at least least.
func (v value) duration(least time.Duration) time.Duration { return v.between(least, longest) }

// between reads one of at most most, too.
func (v value) between(least, most time.Duration) time.Duration {
	read := func() int64 { return int64(one(v, notDuration, parseDuration)) }
	return time.Duration(v.within(int64(least), int64(most), read, func(n int64) string { return spell(time.Duration(n)) }))
}

func parseDuration(s string) (time.Duration, bool) {
	if !durationForm.MatchString(s) {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		d = math.MaxInt64 // out of any range
	}
	return d, true
}

// spell writes a duration as the file does.
func spell(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var rateForm = regexp.MustCompile(`^([1-9][0-9]{0,5})/(s|m|h)$`)

// rate reads a rate as the time between two requests.
func (v value) rate() time.Duration {
	return one(v, notRate, func(s string) (time.Duration, bool) {
		m := rateForm.FindStringSubmatch(s)
		if m == nil {
			return 0, false
		}
		n, _ := strconv.Atoi(m[1])
		unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[m[2]]
		return unit / time.Duration(n), true
	})
}

// Nine digits: a byte count that does not fit is better written with a unit.
var sizeForm = regexp.MustCompile(`^([1-9][0-9]{0,8})(B|KiB|MiB|GiB)?$`)

type sizeUnit struct {
	name  string
	bytes int64
}

var sizeUnits = []sizeUnit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// size reads a number of bytes.
func (v value) size(least, most int64) int64 {
	return v.within(least, most, func() int64 { return one(v, notSize, parseSize) }, sizeText)
}

func parseSize(s string) (int64, bool) {
	m := sizeForm.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	for _, u := range sizeUnits {
		if u.name == m[2] {
			n *= u.bytes
		}
	}
	return n, true
}

// sizeText writes a number of bytes as the file does.
func sizeText(n int64) string {
	i := slices.IndexFunc(sizeUnits, func(u sizeUnit) bool { return n%u.bytes == 0 })
	return fmt.Sprint(n/sizeUnits[i].bytes) + sizeUnits[i].name
}

var (
	momentForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$`)
	localForm  = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?$`)
)

// moment reads a time as RFC 3339 writes it. The offset is required: a sale that
// opens at eight in the wrong time zone is worse than one that does not load.
func (v value) moment() time.Time {
	if v.node != nil && v.node.Kind == yaml.ScalarNode {
		if m := localForm.FindStringSubmatch(v.node.Value); m != nil {
			right := m[1] + "T" + m[2] + m[3]
			if m[3] == "" {
				right += ":00"
			}
			v.fault(noOffset, v.node.Value, right, right)
			return time.Time{}
		}
	}
	return one(v, notTime, func(s string) (time.Time, bool) {
		t, err := time.Parse(time.RFC3339, s)
		return t, err == nil && momentForm.MatchString(s)
	})
}

// choice reads one of some words and gives its index.
func (v value) choice(words ...string) int {
	s := v.text()
	for i, w := range words {
		if s == w {
			return i
		}
	}
	if s != "" {
		v.fault(notChoice, s, strings.Join(words, ", "))
	}
	return 0
}

var hostForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?$`)

// hostPort reads the address of a server. listen allows an empty host, which is every
// address of this machine, and port 0, which is any free one.
func (v value) hostPort(listen bool) string {
	k := notAddress
	if listen {
		k = notListen
	}
	return one(v, k, func(s string) (string, bool) {
		host, port, err := net.SplitHostPort(s)
		n, ok := parseInteger(port)
		if err != nil || !ok || n > 65535 || n == 0 && !listen {
			return "", false
		}
		_, err = netip.ParseAddr(host)
		return s, err == nil || hostForm.MatchString(host) || host == "" && listen
	})
}

// loopback reports whether only this machine can reach a listen address.
func loopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// prefix reads a network, or an address as a network of one.
func (v value) prefix() netip.Prefix {
	p := one(v, notPrefix, func(s string) (netip.Prefix, bool) {
		if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" && !ip.Is4In6() {
			return netip.PrefixFrom(ip, ip.BitLen()), true
		}
		p, err := netip.ParsePrefix(s)
		return p, err == nil && !p.Addr().Is4In6()
	})
	if p.IsValid() && p != p.Masked() {
		v.fault(hostBits, p, p.Masked())
	}
	return p
}

var tokenForm = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// token reads the name of a header or cookie (RFC 9110, 5.6.2).
func (v value) token() string {
	return one(v, notToken, func(s string) (string, bool) { return s, tokenForm.MatchString(s) })
}

// host reads a host name without port, as requests are compared with it.
func (v value) host() string {
	return one(v, notHost, func(s string) (string, bool) { return s, hostForm.MatchString(s) })
}
