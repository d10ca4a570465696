package config

// What clients are told instead of the built-in answers. Pages are read here, once, so
// that no request waits for a disk; they are not looked at, whoever may write the file
// may also write what its clients see.

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"penstock/rules"
)

// Reasons lists the reasons whose answers a file may change: every reason a client
// is ever refused or failed for.
func Reasons() []string {
	return []string{
		"not_open", "closed", "no_account", "banned", "not_eligible", "challenge",
		"rate_limited", "in_flight", "sold_out", "already_bought", "order_pending",
		"reservation_expired", "limit", "unknown_item", "overloaded", "paused", "draining",
		"store_unavailable", "origin_unreachable", "origin_failed", "origin_timeout",
		"bad_request", "method", "body_too_large", "body_timeout", "head_too_large", "internal",
	}
}

// overrides reads what clients are told instead of the built-in answers.
func overrides(v value) map[string]*rules.Answer {
	var all map[string]*rules.Answer
	for _, e := range v.pairs() {
		if !slices.Contains(Reasons(), e.name) {
			e.fault(notReason, strings.Join(Reasons(), ", "))
			continue
		}
		if all == nil {
			all = map[string]*rules.Answer{}
		}
		all[e.name] = override(e.value)
	}
	return all
}

// override reads one answer; what it leaves out keeps the built-in form.
func override(v value) *rules.Answer {
	a := &rules.Answer{Status: v.at("status").integer(200, 599), Redirect: redirect(v.at("redirect"))}
	if page, ok := v.at("page").beside(maxBeside); ok {
		a.Page = page
	}
	if text := v.at("json").block(); text != "" {
		a.JSON = []byte(text)
		if !json.Valid(a.JSON) {
			v.at("json").fault(notJSON)
		}
	}
	if a.Redirect != "" && v.at("page").text() != "" {
		v.fault(twoPages)
	}
	v.filled()
	return a
}

// block reads text that may have several lines.
func (v value) block() string {
	return one(v, notText, func(s string) (string, bool) { return s, true })
}

// redirect reads where browsers are sent. Only paths of this shop and whole http URLs:
// "//host" and "javascript:" look like neither to a reader and like both to a browser.
func redirect(v value) string {
	s := v.text()
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	whole := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
	local := err == nil && s[0] == '/' && !strings.HasPrefix(s, "//") && !strings.Contains(s, `\`)
	if !whole && !local || strings.Contains(s, " ") {
		v.fault(notRedirect, s)
	}
	return s
}
