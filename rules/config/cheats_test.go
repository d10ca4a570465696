package config

// What a file can say against cheats.

import (
	"net/netip"
	"testing"
	"time"

	"penstock/rules"
)

func TestBansAndDecisions(t *testing.T) {
	s := load(t, "testdata/good/cheats.yaml")
	prefix := netip.MustParsePrefix
	same(t, "bans", s.Bans, rules.Bans{Listed: &rules.List{
		Values: map[string]string{
			"c:alice":           "score=93 many accounts at 203.0.113.7",
			"#0123456789abcdef": "score=71 no page was ever seen",
			"c:12":              "", "bob@shop.example": "", "c:carol": "score=40",
		},
		Networks: []netip.Prefix{
			prefix("203.0.113.7/32"), prefix("198.51.100.0/24"), prefix("2001:db8::/48"), prefix("192.0.2.9/32"), prefix("192.0.2.77/32"),
		},
		Hashed: true,
	}})
	same(t, "decisions", s.Decisions, &rules.Decisions{File: "testdata/good/log/decisions", Size: 1 << 30, Files: 3, Hash: true})
	text := "listen: \":80\"\norigin: {url: \"http://127.0.0.1:8081\"}\ndecisions: {}\n"
	s, err := (&reader{file: "etc/p.yaml"}).compile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "defaults", s.Decisions, &rules.Decisions{File: "etc/penstock.decisions.log", Size: 100 << 20, Files: 10})
	same(t, "no lists", s.Bans, rules.Bans{Enforce: true})
}

func TestTerms(t *testing.T) {
	s := load(t, "testdata/good/cheats.yaml")
	keys := []rules.JWTKey{{Alg: "HS256", Key: []byte("0123456789abcdef0123456789abcdef")}}
	list := func(pairs ...string) *rules.List {
		l := &rules.List{Values: map[string]string{}}
		for i := 0; i < len(pairs); i += 2 {
			l.Values[pairs[i]] = pairs[i+1]
		}
		return l
	}
	type from = rules.Attribute
	bought := list("alice", "3", "c:bob", "0.5", "10.0.0.1", "1", "carol", "3")
	want := []rules.Term{
		{Name: "level", From: from{Name: "X-Level"}, Least: -2.5},
		{Name: "member since", From: from{Kind: rules.SaidByJWT, JWT: &rules.JWT{Header: "Authorization", Claim: "since", Keys: keys}}, Must: rules.OlderThan, Age: 365 * 24 * time.Hour},
		{Name: "verified", From: from{Kind: rules.InRedisHash, Name: "customers:verified", Every: 250 * time.Millisecond}, Must: rules.OneOf, Words: []string{"1", "true"}},
		{Name: "registered", From: from{Kind: rules.InRedisSet, Name: "participants", Every: 10 * time.Second}, Must: rules.Listed},
		{Name: "bought before", From: from{Kind: rules.InList, List: bought}, Least: 1},
		{Name: "not suspect", From: from{Kind: rules.InList, List: list("alice", "", "bob", "anything")}, Must: rules.Unlisted},
		{Name: "account age", From: from{Kind: rules.InList, List: list("alice", "2026-01-31", "bob", "1767225600", "carol", "2026-01-31T20:00:00+08:00")}, Must: rules.OlderThan, Age: 24 * time.Hour},
		{Name: "tier", From: from{Kind: rules.InList, List: list("alice", "gold", "bob", "silver")}, Must: rules.OneOf, Words: []string{"gold", "silver"}},
	}
	all, defaults, alone := s.Sales[0].Require, s.Sales[1].Require, s.Sales[2].Require
	for i := range want {
		same(t, want[i].Name, all.Terms[i], want[i])
	}
	same(t, "number of terms", len(all.Terms), rules.MostTerms)
	same(t, "enforce", []bool{all.Enforce, defaults.Enforce}, []bool{false, true})
	same(t, "none", alone, rules.Require{})
	if one, two := all.Terms[4].From.List, defaults.Terms[0].From.List; one != two {
		t.Error("two terms that name one list have it twice")
	}
}

func TestChallenges(t *testing.T) {
	s := load(t, "testdata/good/cheats.yaml")
	secret := "0123456789abcdef0123456789abcdef"
	same(t, "every key", s.Sales[0].Challenge, &rules.Challenge{
		Everyone: true, Work: 131072,
		Remote: &rules.Remote{
			Script: "https://captcha.example:8443/a/b.js?c=d&e", Class: "widget", Field: "widget.answer", Verify: "http://[::1]:81/verify",
			SiteKey: "site=1", Secret: secret, Timeout: 500 * time.Millisecond, Outage: rules.PassAll,
		},
		Within: 90 * time.Second, Least: 2 * time.Second, Clears: time.Hour,
	})
	defaults := &rules.Challenge{Work: 65536, Captcha: true, Within: 5 * time.Minute, Least: 2 * time.Second, Clears: 30 * time.Minute, Enforce: true}
	same(t, "defaults", s.Sales[1].Challenge, defaults)
	same(t, "none", s.Sales[2].Challenge, (*rules.Challenge)(nil))
	defaults.Remote = &rules.Remote{
		Script: "https://challenges.cloudflare.com/turnstile/v0/api.js", Class: "cf-turnstile", Field: "cf-turnstile-response",
		Verify:  "https://challenges.cloudflare.com/turnstile/v0/siteverify",
		SiteKey: "0x4AAA", Secret: secret, Timeout: 2 * time.Second,
	}
	same(t, "a known provider", s.Sales[4].Challenge, defaults)
	for name, p := range providers() {
		if !urlForm.MatchString(p.Script) || !urlForm.MatchString(p.Verify) || !classForm.MatchString(p.Class) || !fieldForm.MatchString(p.Field) {
			t.Errorf("%s: %+v could not be written in a file", name, p)
		}
	}
}

func TestLadders(t *testing.T) {
	s := load(t, "testdata/good/cheats.yaml")
	up := func(observe, challenge, ban int) rules.Steps {
		return rules.Steps{Observe: observe, Challenge: challenge, Ban: ban}
	}
	same(t, "every key", s.Sales[0].Ladder, &rules.Ladder{
		Strikes: up(1, 2, 3), Accounts: up(4, 5, 6), Network: up(0, 8, 9), Addresses: up(10, 0, 12), Ignored: up(13, 0, 14), Score: up(15, 16, 100),
		Window: time.Minute, For: 2 * time.Hour,
	})
	same(t, "defaults", s.Sales[1].Ladder, &rules.Ladder{
		Strikes: up(10, 20, 100), Accounts: up(10, 20, 0), Network: up(100, 300, 0), Addresses: up(3, 5, 0), Ignored: up(3, 0, 10), Score: up(30, 50, 0),
		Window: 10 * time.Minute, For: 10 * time.Minute, Enforce: true,
	})
	same(t, "without challenge and behaviour", s.Sales[2].Ladder, &rules.Ladder{
		Strikes: up(10, 0, 100), Accounts: up(10, 0, 0), Network: up(100, 0, 0), Addresses: up(3, 0, 0),
		Window: 10 * time.Minute, For: 10 * time.Minute, Enforce: true,
	})
	same(t, "none", s.Sales[3].Ladder, (*rules.Ladder)(nil))
	same(t, "every key of behaviour", s.Sales[0].Behaviour, &rules.Behaviour{Page: "/p/**", Reaction: 1, Fastest: 2 * time.Millisecond, Regular: 3, NoPage: 4, Shared: 5, Together: 7, Moved: 8, Ring: 6})
	same(t, "defaults of behaviour", s.Sales[1].Behaviour, &rules.Behaviour{Page: "/p/**", Reaction: 50, Fastest: 180 * time.Millisecond, Regular: 30, NoPage: 30, Shared: 20, Together: 70, Moved: 50, Ring: 40, Enforce: true})
	same(t, "no behaviour", s.Sales[2].Behaviour, (*rules.Behaviour)(nil))
	b := s.Sales[5].Behaviour
	same(t, "no page, no points for it", []int{b.NoPage, b.Together, b.Moved}, []int{0, 0, 0})
}
