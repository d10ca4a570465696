package pages

// The page that checks whether somebody is a person, and the one that says what came of
// it. The check runs by itself where scripts run, and is a form where they do not. What
// the script does is in challenge.js, its search in work.js.
//
// Hashes per second of one thread, Chromium 156 on a Xeon at 2.5 GHz: 1.8 million by
// work.js, 0.1 million by crypto.subtle, which is therefore not used
// (go test ./proxy -run XXX -bench BenchmarkWork).

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
)

//go:embed challenge.html
var challenge string

//go:embed told.html
var told string

//go:embed work.js
var work string

//go:embed challenge.js
var script string

// Slots of these pages, and of an operator's own page for challenges.
const (
	SlotChallenge = "{challenge}" // JSON without "<", ">" and "&": good inside <script>
	SlotToken     = "{token}"     // HTML-escaped, as all that follow
	SlotBack      = "{back}"      // path of the shop's page to return to
	SlotImage     = "{image}"     // path of what is to be typed
	SlotSound     = "{sound}"     // the same to hear
	SlotTitle     = "{title}"
)

// Challenge makes the page with the puzzle, with its slots still open; captcha: digits may
// be typed instead.
func Challenge(title string, captcha bool) string {
	return fill(challenge, words{Title: title, Style: template.CSS(style), Script: template.JS(whole()), Captcha: captcha})
}

// Told makes the page that says what came of an answer, with its slots still open.
func Told() string { return fill(told, words{Style: template.CSS(style)}) }

// Work is the source of the script's function that searches: work(seed, part, bits)
// answers a function that makes so many tries more, and answers the number found or -1.
func Work() string { return work }

func whole() string { return "\n(function () {\n'use strict';\n" + work + script + "})();\n" }

// Policy is the Content-Security-Policy of the page with the puzzle; widget: another
// provider's script, whatever it loads, may run as well.
func Policy(widget bool) string {
	sum := sha256.Sum256([]byte(whole()))
	hash := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	if widget {
		return "default-src 'none'; script-src " + hash + " 'strict-dynamic'; worker-src blob: https:; frame-src https:; connect-src 'self' https:; " +
			"style-src 'unsafe-inline' https:; img-src 'self' https: data:; media-src 'self' blob: https:; font-src https: data:; form-action 'self'; base-uri 'none'"
	}
	return "default-src 'none'; script-src " + hash + "; worker-src blob:; connect-src 'self'; style-src 'unsafe-inline'; img-src 'self'; " +
		"media-src 'self' blob:; form-action 'self'; base-uri 'none'"
}
