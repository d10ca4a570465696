package eligible

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"penstock/proxy/gate"
	"penstock/proxy/gate/gatetest"
	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// hashed stands for the keyed hash: 16 characters of the account.
func hashed(account string) string {
	return fmt.Sprintf("%016x", len(account)*1_000_003+int(account[0]))
}

// asking is a sale that asks for these terms.
func asking(terms ...rules.Term) *rules.Sale {
	return &rules.Sale{Name: "phone", Require: rules.Require{Terms: terms, Enforce: true}, Enforce: true}
}

// library is a reader of what is there.
type library struct {
	hashes map[string]map[string]string
	sets   map[string][]string
}

func (l *library) Hash(_ context.Context, key string, each func(field, value string)) error {
	for f, v := range l.hashes[key] {
		each(f, v)
	}
	return nil
}

func (l *library) Set(_ context.Context, key string, each func(member string)) error {
	for _, m := range l.sets[key] {
		each(m)
	}
	return nil
}

// opened is a gate over what is there, with its copies read.
func opened(t testing.TB, r Reader, sales ...*rules.Sale) *Gate {
	t.Helper()
	g := New(NewCopies(r), hashed)
	g.Use(sales)
	for {
		h, _ := g.copies.next(time.Now())
		if h == nil {
			break
		}
		g.copies.refresh(context.Background(), h)
	}
	if err := g.copies.Ready(); err != nil {
		t.Fatal(err)
	}
	return g
}

func from(account string, s *rules.Sale, says ...string) *gate.Facts {
	f := &gate.Facts{At: noon, Account: account, Sale: s}
	if len(says) > 0 {
		f.Said = new([rules.MostTerms]string)
		copy(f.Said[:], says)
	}
	return f
}

func TestGate(t *testing.T) {
	header := rules.Attribute{Kind: rules.SaidByHeader, Name: "X-Level"}
	members := rules.Attribute{Kind: rules.InRedisSet, Name: "members", Every: time.Minute}
	for name, s := range map[string]*rules.Sale{
		"admits":  asking(rules.Term{From: header, Must: rules.AtLeast, Least: 3}, rules.Term{From: members, Must: rules.Unlisted}),
		"refuses": asking(rules.Term{From: header, Must: rules.AtLeast, Least: 9}, rules.Term{From: members, Must: rules.Listed}),
		"watches": {Name: "w", Enforce: true, Require: rules.Require{Terms: []rules.Term{{From: members, Must: rules.Listed}}}},
		"none":    asking(),
	} {
		t.Run(name, func(t *testing.T) {
			capacity := -1
			if name == "refuses" {
				capacity = 0
			}
			gatetest.Run(t, gatetest.Subject{
				New: func(tb testing.TB) gate.Gate {
					return opened(tb, &library{sets: map[string][]string{"members": {"x"}}}, s)
				},
				Facts:    func(i int) *gate.Facts { return from(fmt.Sprintf("c:%d", i), s, "5") },
				Capacity: capacity,
				Memory:   1 << 20,
			})
		})
	}
}

func TestTerms(t *testing.T) {
	header := rules.Attribute{Kind: rules.SaidByHeader}
	list := func(v map[string]string) rules.Attribute {
		return rules.Attribute{Kind: rules.InList, List: &rules.List{Values: v}}
	}
	blind := rules.Attribute{Kind: rules.InList, List: &rules.List{Values: map[string]string{"#" + hashed("c:alice"): "5"}}}
	keyed := rules.Attribute{Kind: rules.InList, List: &rules.List{Values: blind.List.Values, Hashed: true}}
	hash := rules.Attribute{Kind: rules.InRedisHash, Name: "level", Every: time.Minute}
	set := rules.Attribute{Kind: rules.InRedisSet, Name: "vip", Every: time.Minute}
	lib := &library{
		hashes: map[string]map[string]string{"level": {"alice": "5", "empty": "", "junk": "five", "long": strings.Repeat("5", 300)}},
		sets:   map[string][]string{"vip": {"alice", "c:bob"}},
	}
	level := func(a rules.Attribute) rules.Term {
		return rules.Term{Name: "t", From: a, Must: rules.AtLeast, Least: 3}
	}
	week := rules.Term{Name: "t", From: header, Must: rules.OlderThan, Age: 7 * 24 * time.Hour}
	words := rules.Term{Name: "t", From: header, Must: rules.OneOf, Words: []string{"gold", "vip"}}
	many := words
	many.Words = append(strings.Split("a b c d e f g h i j", " "), "gold")
	must := func(a rules.Attribute, m rules.Must) rules.Term { return rules.Term{Name: "t", From: a, Must: m} }
	some := list(map[string]string{"alice": "", "h:bob": "1", "c:carol": "5", "carol": "1", "#0000000000000001": "5"})
	for _, c := range []struct {
		name    string
		term    rules.Term
		account string
		says    string
		want    bool
	}{
		{"number", level(header), "c:a", "3", true}, {"less", level(header), "c:a", "2.99", false}, {"no number", level(header), "c:a", "3x", false},
		{"nothing said", level(header), "c:a", "", false}, {"no account", level(header), "", "5", false}, {"NaN", level(header), "c:a", "NaN", false},
		{"old", week, "c:a", "2026-11-20T12:00:00Z", true}, {"a second short", week, "c:a", "2026-11-20T12:00:01Z", false},
		{"the day", week, "c:a", "2026-11-20", true}, {"the next day", week, "c:a", "2026-11-21", false}, {"seconds", week, "c:a", "1700000000", true},
		{"never", week, "c:a", "0", false}, {"milliseconds", week, "c:a", "1700000000000", false}, {"to come", week, "c:a", "2027-01-01", false},
		{"word", words, "c:a", "vip", true}, {"no word", words, "c:a", "VIP", false}, {"many words", many, "c:a", "gold", true}, {"none of many", many, "c:a", "vip", false},
		{"said", must(header, rules.Listed), "c:a", "false", true}, {"unsaid", must(header, rules.Unlisted), "c:a", "", true},
		{"said, and must not", must(header, rules.Unlisted), "c:a", "x", false}, {"nobody is not unlisted", must(header, rules.Unlisted), "", "", false},
		{"bare", must(some, rules.Listed), "c:alice", "", true}, {"bare, another letter", must(some, rules.Listed), "j:alice", "", true},
		{"exact", must(some, rules.Listed), "h:bob", "", true}, {"exact, another letter", must(some, rules.Listed), "c:bob", "", false},
		{"most exact counts", level(some), "c:carol", "", true}, {"bare counts", level(some), "h:carol", "", false},
		{"posing as another's source", must(some, rules.Listed), "c:h:bob", "", false}, {"posing as a hash", must(some, rules.Listed), "c:#0000000000000001", "", false},
		{"not listed", must(some, rules.Unlisted), "c:dave", "", true}, {"hashed", level(keyed), "c:alice", "", true}, {"hashes not looked for", level(blind), "c:alice", "", false},
		{"no list", must(rules.Attribute{Kind: rules.InList}, rules.Listed), "c:alice", "", false},
		{"hash", level(hash), "c:alice", "", true}, {"not in the hash", level(hash), "c:bob", "", false}, {"junk in the hash", level(hash), "c:junk", "", false},
		{"empty in the hash", must(hash, rules.Listed), "c:empty", "", true}, {"too long", level(hash), "c:long", "", false},
		{"set", must(set, rules.Listed), "v:alice", "", true}, {"sets have bare names", must(set, rules.Listed), "c:bob", "", false},
		{"a set has no values", level(set), "c:alice", "", false}, {"not in the set", must(set, rules.Unlisted), "c:bob", "", true},
		{"a kind that nobody knows", must(rules.Attribute{Kind: 99}, rules.Unlisted), "c:a", "", false}, {"a demand that nobody knows", must(header, 99), "c:a", "x", false},
	} {
		s := asking(c.term)
		g := opened(t, lib, s)
		f := from(c.account, s, c.says)
		v := g.Admit(context.Background(), f)
		if v.OK() != c.want || !c.want && v.Reason != gate.NotEligible && c.term.From.Kind != 99 {
			t.Errorf("%s: got %v, want admitted: %v; %s", c.name, v.Reason, c.want, g.Explain(f))
		}
		if holds := strings.HasPrefix(g.Explain(f), "t: holds"); holds != c.want {
			t.Errorf("%s: explained as %q, want it to hold: %v", c.name, g.Explain(f), c.want)
		}
	}
}

// TestNaive holds the gate against one that goes through everything in the plainest way.
func TestNaive(t *testing.T) {
	accounts := []string{"", "c:alice", "c:bob", "j:alice", "h:carol", "c:h:carol"}
	values := []string{"", "1", "3", "05", "gold", "2026-11-01", "2026-11-27", "1700000000"}
	names := []string{"alice", "bob", "c:alice", "h:carol", "carol"}
	rapid.Check(t, func(r *rapid.T) {
		draw := func(label string, of []string) string { return rapid.SampledFrom(of).Draw(r, label) }
		lib := &library{hashes: map[string]map[string]string{"k": {}}, sets: map[string][]string{}}
		file := map[string]string{}
		for range rapid.IntRange(0, 4).Draw(r, "known") {
			lib.hashes["k"][draw("name", names)] = draw("value", values)
			lib.sets["k"] = append(lib.sets["k"], draw("member", names))
			file[draw("line", names)] = draw("value", values)
		}
		var says [rules.MostTerms]string
		s := asking()
		for i := range rapid.IntRange(0, rules.MostTerms).Draw(r, "terms") {
			says[i] = draw("says", values)
			s.Require.Terms = append(s.Require.Terms, rules.Term{
				Name: fmt.Sprint(i), Must: rules.Must(rapid.IntRange(0, 4).Draw(r, "must")), Least: 3, Age: 48 * time.Hour, Words: []string{"gold"},
				From: rules.Attribute{Kind: rules.AttributeKind(rapid.IntRange(0, 4).Draw(r, "kind")), Name: "k", Every: time.Minute, List: &rules.List{Values: file}},
			})
		}
		g := opened(t, lib, s)
		f := from(draw("account", accounts), s, says[:]...)
		want := true
		for i, term := range s.Require.Terms {
			want = want && naive(term, says[i], f.Account, lib, file)
		}
		if got := g.Admit(context.Background(), f).OK(); got != want {
			r.Fatalf("got %v, want %v of %q:\n%s", got, want, f.Account, g.Explain(f))
		}
	})
}

func naive(t rules.Term, said, account string, lib *library, file map[string]string) bool {
	if account == "" {
		return false
	}
	bare := account[2:]
	v, there := said, said != ""
	switch t.From.Kind {
	case rules.InRedisHash:
		v, there = lib.hashes["k"][bare], has(lib.hashes["k"], bare)
	case rules.InRedisSet:
		v, there = "", slices.Contains(lib.sets["k"], bare)
	case rules.InList:
		v, there = file[account], has(file, account)
		if !there && bare != "h:carol" {
			v, there = file[bare], has(file, bare)
		}
	}
	switch t.Must {
	case rules.AtLeast:
		return there && (v == "3" || v == "1700000000")
	case rules.OlderThan:
		return there && (v == "2026-11-01" || v == "1700000000")
	case rules.OneOf:
		return there && v == "gold"
	case rules.Listed:
		return there
	}
	return !there
}

// TestDoubt: a term that fails for good is told before one that nobody can judge, and terms
// that watch refuse nobody.
func TestDoubt(t *testing.T) {
	unread := rules.Term{Name: "copy", From: rules.Attribute{Kind: rules.InRedisSet, Name: "k"}, Must: rules.Unlisted}
	fails := rules.Term{Name: "level", From: rules.Attribute{Kind: rules.SaidByHeader}, Must: rules.Listed}
	for _, c := range []struct {
		terms        []rules.Term
		enforce      bool
		want, would  gate.Reason
		refused, not string
	}{
		{[]rules.Term{unread, fails}, true, gate.NotEligible, gate.Unset, "level", ""},
		{[]rules.Term{unread}, true, gate.StoreUnavailable, gate.Unset, "", "copy"},
		{[]rules.Term{unread}, false, gate.Admitted, gate.StoreUnavailable, "", "copy"},
		{[]rules.Term{fails}, false, gate.Admitted, gate.NotEligible, "level", ""},
	} {
		s := asking(c.terms...)
		s.Require.Enforce = c.enforce
		g := New(NewCopies(nil), hashed)
		for range 2 {
			g.Use([]*rules.Sale{s}) // counts outlast it
			v := g.Admit(context.Background(), from("c:alice", s))
			if v.Reason != c.want || v.Would != c.would || (v.Retry > 0) != (c.want == gate.StoreUnavailable) || (v.Err != nil) != (c.want == gate.StoreUnavailable) {
				t.Errorf("got %+v, want %v, would %v", v, c.want, c.would)
			}
		}
		for _, n := range g.Stats() {
			want := Stat{Sale: "phone", Term: n.Term}
			if n.Term == c.refused {
				want.Refused = 2
			} else if n.Term == c.not {
				want.Unread = 2
			}
			if n != want {
				t.Errorf("counted %+v, want %+v", n, want)
			}
		}
	}
	if g := New(NewCopies(nil), nil); g.Explain(&gate.Facts{}) != "" {
		t.Error("a request of no sale was explained")
	}
}

func BenchmarkAdmit(b *testing.B) {
	alice := map[string]string{"alice": "5"}
	lib := &library{hashes: map[string]map[string]string{"k": alice}, sets: map[string][]string{"k": {"alice"}}}
	for _, c := range []struct {
		name string
		term rules.Term
		says string
	}{
		{"header", rules.Term{From: rules.Attribute{Kind: rules.SaidByHeader}, Must: rules.AtLeast, Least: 3}, "5"},
		{"time", rules.Term{From: rules.Attribute{Kind: rules.SaidByHeader}, Must: rules.OlderThan, Age: time.Hour}, "2026-11-01T20:00:00+08:00"},
		{"hash", rules.Term{From: rules.Attribute{Kind: rules.InRedisHash, Name: "k"}, Must: rules.AtLeast, Least: 3}, ""},
		{"set", rules.Term{From: rules.Attribute{Kind: rules.InRedisSet, Name: "k"}, Must: rules.Listed}, ""},
		{"list", rules.Term{From: rules.Attribute{Kind: rules.InList, List: &rules.List{Values: alice}}, Must: rules.AtLeast, Least: 3}, ""},
		{"refused", rules.Term{From: rules.Attribute{Kind: rules.SaidByHeader}, Must: rules.AtLeast, Least: 9}, "5"},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := asking(c.term)
			g := opened(b, lib, s)
			f := from("c:alice", s, c.says)
			b.ReportAllocs()
			for b.Loop() {
				if v := g.Admit(context.Background(), f); v.OK() == (c.name == "refused") {
					b.Fatal(v.Reason)
				}
			}
		})
	}
}
