package eligible

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"
)

func TestNumber(t *testing.T) {
	for s, want := range map[string]float64{
		"0": 0, "5": 5, "-3": -3, "1.5": 1.5, "1e3": 1000, "1E+3": 1000, "2.5e-1": 0.25, "-0": 0, "0.0": 0,
		"123456789012345": 123456789012345, "9007199254740993": 9007199254740992, "12345678901234567890": 12345678901234567890,
	} {
		if got, ok := number(s); got != want || !ok {
			t.Errorf("%q: got %v, %v; want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{
		"", "-", "+5", " 5", "5 ", "05", "-05", "5.", ".5", "1e", "1e+", "0x10", "1_000", "1,5", "5a", "inf", "Infinity", "NaN",
		"1e999", "٥", "5\x00", "--5", "5.5.5", "1e5e5", "00", "11111111111111111111111111111111111111111",
	} {
		if got, ok := number(s); ok {
			t.Errorf("%q: got %v, want nothing", s, got)
		}
	}
}

func TestMoment(t *testing.T) {
	utc := func(y, m, d, h, mi, s, ns int) time.Time {
		return time.Date(y, time.Month(m), d, h, mi, s, ns, time.UTC)
	}
	for s, want := range map[string]time.Time{
		"2026-11-27":                      utc(2026, 11, 27, 0, 0, 0, 0),
		"2024-02-29":                      utc(2024, 2, 29, 0, 0, 0, 0),
		"2026-11-27T20:00:00Z":            utc(2026, 11, 27, 20, 0, 0, 0),
		"2026-11-27T20:00:00+08:00":       utc(2026, 11, 27, 12, 0, 0, 0),
		"2026-11-27T20:00:00.25-05:30":    utc(2026, 11, 28, 1, 30, 0, 250e6),
		"2026-01-01T00:30:00+01:00":       utc(2025, 12, 31, 23, 30, 0, 0),
		"2026-11-27T20:00:00.1234567891Z": utc(2026, 11, 27, 20, 0, 0, 123456789),
		"1764288000":                      time.Unix(1764288000, 0),
		"100000000":                       time.Unix(100000000, 0),
	} {
		if got, ok := moment(s); !got.Equal(want) || !ok {
			t.Errorf("%q: got %v, %v; want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{
		"", "0", "1", "20261127", "01764288000", "1764288000000", "-1764288000", "1764288000.5", "1.7e9", "2026", "2026-11", "2026-11-27 ",
		"2026-13-01", "2026-00-01", "2026-02-30", "2026-02-29", "2026-11-00", "2026-1-1", "27-11-2026", "11/27/2026", "2026-11-27T", "2026-11-27T20:00",
		"2026-11-27T20:00:00", "2026-11-27t20:00:00Z", "2026-11-27T20:00:00z", "2026-11-27 20:00:00Z", "2026-11-27T24:00:00Z", "2026-11-27T20:60:00Z",
		"2026-11-27T20:00:60Z", "2026-11-27T20:00:00.Z", "2026-11-27T20:00:00,5Z", "2026-11-27T20:00:00+0800", "2026-11-27T20:00:00+24:00",
		"2026-11-27T20:00:00+08:60", "2026-11-27T20:00:00Z ", "2026-11-27T8:00:00Z", "+026-11-27", "2026-11-27T20:00:00", "2026-02-30T00:00:00Z",
	} {
		if got, ok := moment(s); ok {
			t.Errorf("%q: got %v, want nothing", s, got)
		}
	}
}

// FuzzNumber: what is read is a number of JSON, and is the one that everybody reads.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"5", "-1.5e-7", "05", "1e999", "0x1p-2", "nan", "123456789012345678"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var want float64
		err := json.Unmarshal([]byte(s), &want)
		isNumber := err == nil && s != "null" && s[0] != ' ' && s[0] != '\t' && s[0] != '\n' && s[0] != '\r' && s[len(s)-1] > ' '
		got, ok := number(s)
		if ok && (!isNumber || got != want) {
			t.Errorf("%q: got %v, want %v, %v", s, got, want, isNumber)
		}
		if !ok && isNumber && len(s) <= longest {
			t.Errorf("%q: got nothing, want %v", s, want)
		}
	})
}

// FuzzMoment: what is read is the moment that the standard library reads, and what that
// would write is read.
func FuzzMoment(f *testing.F) {
	for _, s := range []string{"2026-11-27", "2026-11-27T20:00:00+08:00", "2026-02-29T00:00:00.5Z", "1764288000", "20261127", "2026-11-27T20:00:00,5Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := moment(s)
		var want time.Time
		err := want.UnmarshalText([]byte(s)) // it reads more: a comma, an hour of one digit, an offset of 60 minutes
		if err != nil {
			want, err = time.Parse(time.DateOnly, s)
		}
		if err != nil {
			var n int64
			if n, err = strconv.ParseInt(s, 10, 64); err == nil {
				if want = time.Unix(n, 0); n < 1e8 && ok {
					t.Errorf("%q: got %v, want nothing", s, got)
				}
			}
		}
		if ok && (err != nil || !got.Equal(want)) {
			t.Errorf("%q: got %v, want %v, %v", s, got, want, err)
		}
		if !ok && err == nil && (s == want.Format(time.RFC3339Nano) || s == want.Format(time.DateOnly)) {
			t.Errorf("%q: got nothing, want %v", s, want)
		}
	})
}
