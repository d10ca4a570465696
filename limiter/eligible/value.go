package eligible

// Reading numbers and times that others have written. Strictly: what two programs could
// read differently is not read at all, because what cannot be read refuses.

import (
	"strconv"
	"time"
)

// longest is the most of a number that is looked at, in bytes.
const longest = 40

// number reads a number as JSON writes one (RFC 8259, 6): decimal, no sign but "-", no
// blanks, no leading zeros.
func number(s string) (float64, bool) {
	rest := s
	if len(rest) > 0 && rest[0] == '-' {
		rest = rest[1:]
	}
	whole := digits(rest)
	if whole == 0 || whole > 1 && rest[0] == '0' || len(s) > longest {
		return 0, false
	}
	if whole == len(rest) && whole <= 15 { // exact in a float64
		n := 0.0
		for i := range whole {
			n = n*10 + float64(rest[i]-'0')
		}
		if len(s) > len(rest) {
			n = -n
		}
		return n, true
	}
	if rest = rest[whole:]; len(rest) > 0 && rest[0] == '.' {
		n := digits(rest[1:])
		if n == 0 {
			return 0, false
		}
		rest = rest[1+n:]
	}
	if len(rest) > 0 && rest[0]|0x20 == 'e' {
		if rest = rest[1:]; len(rest) > 0 && (rest[0] == '+' || rest[0] == '-') {
			rest = rest[1:]
		}
		n := digits(rest)
		if n == 0 {
			return 0, false
		}
		rest = rest[n:]
	}
	if rest != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// digits is how many of them s begins with.
func digits(s string) (n int) {
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

// moment reads a time: RFC 3339; a date, which is its beginning in UTC; or Unix seconds of
// 9 to 11 digits (from March 1973). Fewer are as likely a date without dashes, or a 0 that
// stands for none, and more are milliseconds: all would pass for very old or not at all.
func moment(s string) (time.Time, bool) {
	if n := digits(s); n == len(s) {
		if n < 9 || n > 11 || s[0] == '0' {
			return time.Time{}, false
		}
		sec, _ := strconv.ParseInt(s, 10, 64)
		return time.Unix(sec, 0), true
	}
	if len(s) < 10 || s[4] != '-' || s[7] != '-' {
		return time.Time{}, false
	}
	year, ok1 := field(s[0:4], 9999)
	month, ok2 := field(s[5:7], 12)
	day, ok3 := field(s[8:10], 31)
	if !ok1 || !ok2 || !ok3 || month == 0 || day == 0 {
		return time.Time{}, false
	}
	var since time.Duration // the beginning of the day
	if len(s) > 10 {
		var ok bool
		if since, ok = clock(s[10:]); !ok {
			return time.Time{}, false
		}
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	return t.Add(since), t.Day() == day // else it is a 30 February
}

// clock reads "T15:04:05", a fraction if there is one, and "Z" or an offset. It may be
// below nothing, and above a day. A leap second is nothing that a shop writes.
func clock(s string) (time.Duration, bool) {
	if len(s) < len("T15:04:05Z") || s[0] != 'T' || s[3] != ':' || s[6] != ':' {
		return 0, false
	}
	hour, ok1 := field(s[1:3], 23)
	minute, ok2 := field(s[4:6], 59)
	second, ok3 := field(s[7:9], 59)
	if !ok1 || !ok2 || !ok3 {
		return 0, false
	}
	d := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
	if s = s[9:]; s[0] == '.' {
		n := digits(s[1:])
		if n == 0 || n > longest {
			return 0, false
		}
		unit := time.Second
		for _, c := range []byte(s[1 : 1+n]) {
			unit /= 10
			d += time.Duration(c-'0') * unit
		}
		s = s[1+n:]
	}
	if s == "Z" {
		return d, true
	}
	if len(s) != len("+07:00") || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	hour, ok1 = field(s[1:3], 23)
	minute, ok2 = field(s[4:6], 59)
	east := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	if s[0] == '-' {
		east = -east
	}
	return d - east, ok1 && ok2
}

// field reads digits and nothing else, as a number up to most.
func field(s string, most int) (n int, ok bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, n <= most
}
