package rules

import (
	"strings"
	"testing"
)

func TestOutcome(t *testing.T) {
	status := func(from, to int) []StatusRange { return []StatusRange{{from, to}} }
	sale := &Sale{
		SoldWhen: []Answered{
			{Status: []StatusRange{{201, 201}, {203, 204}}},
			{Status: status(302, 303), Location: "/thanks*"},
			{Status: status(200, 200), Header: map[string]string{"X-Order": "*"}},
			{Status: status(200, 200), BodyContains: []byte("thank you")},
		},
		FreeWhen: []Answered{
			{Status: status(400, 499)},
			{BodyContains: []byte("no stock")},
		},
	}
	f := func(code int, headers, body string, want Outcome) {
		t.Helper()
		header := func(name string) (string, bool) {
			for line := range strings.Lines(headers) {
				if k, v, _ := strings.Cut(strings.TrimSpace(line), "="); strings.EqualFold(k, name) {
					return v, true
				}
			}
			return "", false
		}
		if got := sale.Outcome(&OriginAnswer{Status: code, Header: header, Body: []byte(body)}); got != want {
			t.Errorf("status %d, headers %q, body %q: got %v, want %v", code, headers, body, got, want)
		}
	}
	f(201, "", "", OutcomeSold)
	f(202, "", "", OutcomeUnknown)
	f(204, "", "", OutcomeSold)
	f(302, "location=/thanks?order=1", "", OutcomeSold)
	f(302, "location=/cart", "", OutcomeUnknown)
	f(302, "", "", OutcomeUnknown)
	f(301, "location=/thanks", "", OutcomeUnknown)
	f(200, "", "", OutcomeUnknown)
	f(200, "x-order=", "", OutcomeSold)
	f(200, "", "well, thank you!", OutcomeSold)
	f(200, "", "no stock", OutcomeFree)
	f(404, "", "", OutcomeFree)
	f(500, "", "", OutcomeUnknown)
	f(201, "", "no stock", OutcomeUnknown) // both lists hold
	f(0, "", "", OutcomeUnknown)
	if !sale.NeedsBody() || (&Sale{SoldWhen: sale.SoldWhen[:2], FreeWhen: sale.FreeWhen[:1]}).NeedsBody() {
		t.Error("needs the body: want true with body_contains and false without")
	}
	if got := OutcomeUnknown.String() + " " + OutcomeSold.String() + " " + OutcomeFree.String(); got != "unknown sold free" {
		t.Errorf("names: got %q", got)
	}
}

func TestGlob(t *testing.T) {
	f := func(pattern, s string, want bool) {
		t.Helper()
		if got := glob(pattern, s); got != want {
			t.Errorf("%q against %q: got %v, want %v", pattern, s, got, want)
		}
	}
	f("", "", true)
	f("", "a", false)
	f("*", "", true)
	f("a", "a", true)
	f("a", "ab", false)
	f("a*", "ab", true)
	f("*b", "ab", true)
	f("ab*b", "ab", false)
	f("a*c", "abc", true)
	f("a*c", "abd", false)
	f("a*b*c", "a-b-b-c", true)
	f("a*b*c", "a-c-b", false)
	f("**", "x", true)
	f("*a*", "bab", true)
	f("*a*", "bbb", false)
}
