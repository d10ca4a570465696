package config

// How somebody shows to be a person: by work, by what is read in an image, or by the
// widget of a provider elsewhere. What a provider's widget is called is known here for
// those that many use; of others the file says it.

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"penstock/rules"
)

// What a challenge may be given. Nobody solves one in less than a second, and 16 million
// hashes keep a phone busy for minutes.
const (
	leastWork = 1 << 10
	mostWork  = 1 << 24
	mostClear = 24 * time.Hour // challenges and clearances are sealed with keys of a day
)

// challenge reads a sale's; nil: nobody is challenged.
func challenge(v value) *rules.Challenge {
	if v.node == nil {
		return nil
	}
	least := v.at("least").between(0, (mostClear-time.Second)/(1+rules.MostLevel))
	return &rules.Challenge{
		Everyone: v.at("of").choice("suspects", "everyone") == 1,
		Work:     v.at("work").integer(leastWork, mostWork),
		Captcha:  v.at("captcha").boolean(),
		Remote:   remote(v.at("remote")),
		Within:   v.at("within").between((1+rules.MostLevel)*least+time.Second, mostClear),
		Least:    least,
		Clears:   v.at("clears").between(time.Second, mostClear),
		Enforce:  v.at("enforce").boolean(),
	}
}

// providers are those whose widget need not be described: where their scripts are, what
// these look for on a page, and who judges. As their own documents say: Cloudflare
// Turnstile (client-side rendering; server-side validation), hCaptcha (developer guide)
// and reCAPTCHA v2 (display; verify).
func providers() map[string]rules.Remote {
	return map[string]rules.Remote{
		"turnstile": {
			Script: "https://challenges.cloudflare.com/turnstile/v0/api.js", Class: "cf-turnstile", Field: "cf-turnstile-response",
			Verify: "https://challenges.cloudflare.com/turnstile/v0/siteverify",
		},
		"hcaptcha": {
			Script: "https://js.hcaptcha.com/1/api.js", Class: "h-captcha", Field: "h-captcha-response",
			Verify: "https://api.hcaptcha.com/siteverify",
		},
		"recaptcha": {
			Script: "https://www.google.com/recaptcha/api.js", Class: "g-recaptcha", Field: "g-recaptcha-response",
			Verify: "https://www.google.com/recaptcha/api/siteverify",
		},
	}
}

var (
	// Narrow: they stand in a page, in attributes and in its Content-Security-Policy.
	siteKeyForm = regexp.MustCompile(`^[A-Za-z0-9._:=-]{1,256}$`)
	urlForm     = regexp.MustCompile(`^https?://([a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~/?=&%+:@-]*)?$`)
	classForm   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)
	fieldForm   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

// remote reads a provider; nil: there is none.
func remote(v value) *rules.Remote {
	if v.node == nil {
		return nil
	}
	var m rules.Remote
	provider := v.at("provider")
	if name := provider.text(); provider.require("provider: turnstile") && name != "" {
		known := []string{"turnstile", "hcaptcha", "recaptcha", "other"}
		provider.choice(known...)
		m = providers()[name]
		v.widget(&m, name == "other", slices.Contains(known, name))
	}
	if key := v.at("site_key"); key.require("the key that the provider shows for your site") {
		m.SiteKey = key.formed(notSiteKey, siteKeyForm)
	}
	if file := v.at("secret_file"); file.require("the file that holds the provider's secret: turnstile.secret") {
		raw, ok := file.beside(maxBeside)
		if m.Secret = strings.TrimSpace(string(raw)); ok && m.Secret == "" {
			file.fault(emptySecret, file.node.Value)
		}
	}
	m.Timeout = v.at("timeout").duration(shortest)
	m.Outage = rules.Outage(v.at("outage").choice("proof_of_work", "pass", "refuse"))
	return &m
}

// widget reads what is known of the providers above, and must be said of any other.
func (v value) widget(m *rules.Remote, other, known bool) {
	for _, w := range []struct {
		name  string
		to    *string
		k     kind
		form  *regexp.Regexp
		write string
	}{
		{"script", &m.Script, notURL, urlForm, `the script that draws the widget: "https://captcha.example/api.js"`},
		{"class", &m.Class, notClass, classForm, "the class of the element it is drawn in"},
		{"field", &m.Field, notField, fieldForm, "the form's field that the widget fills in"},
		{"verify", &m.Verify, notURL, urlForm, `who is asked about answers: "https://captcha.example/siteverify"`},
	} {
		switch at := v.at(w.name); {
		case other && at.require(w.write):
			*w.to = at.formed(w.k, w.form)
		case !other && known && at.given:
			at.fault(needless, "provider: "+v.at("provider").text()+", where it is built in", "remove it or write provider: other")
		}
	}
}

// formed reads text of one form.
func (v value) formed(k kind, form *regexp.Regexp) string {
	return one(v, k, func(s string) (string, bool) { return s, form.MatchString(s) })
}
