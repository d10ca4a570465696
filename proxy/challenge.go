package proxy

// Challenges, on the way of a sale's request: who is refused for want of one gets the
// puzzle, people as a page that solves it, apps in the problem's JSON; who has solved one
// shows the proof, in a cookie of its sale or in a header.
//
// A proof belongs to an account and a browser, which is known by the cookie of visitors. It
// gives up knowing clients without cookies apart: there the account alone must be the same.
// What a puzzle asks and what a proof is worth is the Challenger's business.

import (
	"bytes"
	"encoding/json"
	"html"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/proxy/gate"
	"penstock/proxy/pages"
	"penstock/rules"
)

const (
	clearedCookie = "penstock_cleared_" // and the sale's name
	clearedHeader = "Penstock-Cleared"

	// maxProofs is how many proofs of one request are looked at: an old cookie may lie
	// beside a new header.
	maxProofs = 2
)

// challenges is all the proxy has for them.
type challenges struct {
	gate.Challenger
	pages            [2]string // with the puzzle; [1]: digits may be typed instead
	policy           [2]string // of the page; [1]: with a widget
	told             string
	judging, drawing turnstile
	events           [challengeEvents]prometheus.Counter
}

// What is counted of challenges.
const (
	puzzlesShown = iota
	imagesShown
	soundsPlayed
	answeredRight
	answeredWrong
	answeredEarly
	answeredLate
	answeredTwice
	answeredForeign
	answeredUnchecked
	challengesBusy // somebody was sent away because too many ask at a time
	challengeEvents
)

var challengeEventNames = [challengeEvents]string{"shown", "image", "sound", "solved", "wrong", "early", "late", "spent", "foreign", "unchecked", "busy"}

// newChallenges is nil where nobody makes challenges.
func newChallenges(o *Options) *challenges {
	if o.Challenger == nil {
		return nil
	}
	c := &challenges{
		Challenger: o.Challenger,
		policy:     [2]string{pages.Policy(false), pages.Policy(true)},
		told:       pages.Told(),
		judging:    newTurnstile(judgedAtOnce), drawing: newTurnstile(drawnAtOnce()),
	}
	for i := range c.pages {
		c.pages[i] = pages.Challenge(table[gate.Challenge].title, i == 1)
	}
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "penstock", Name: "challenge_events_total",
		Help: "Challenges shown, their images and sounds, and what became of answers; busy: too many at a time.",
	}, []string{"event"})
	o.Registry.MustRegister(events)
	for i, name := range challengeEventNames {
		c.events[i] = events.WithLabelValues(name)
	}
	return c
}

// puzzle is gate.Puzzle as clients get it.
type puzzle struct {
	Token     string        `json:"token"`
	Level     uint8         `json:"level"`
	Until     time.Time     `json:"until"`
	Wait      int64         `json:"wait_ms,omitempty"`
	Seed      string        `json:"seed,omitempty"`
	Parts     int           `json:"parts,omitempty"`
	Bits      int           `json:"bits,omitempty"`
	Algorithm string        `json:"algorithm,omitempty"`
	AnswerURL string        `json:"answer_url"`
	Captcha   *puzzleImage  `json:"captcha,omitempty"`
	Remote    *puzzleWidget `json:"remote,omitempty"`
}

type puzzleImage struct {
	Image string `json:"image"`
	Sound string `json:"sound"`
}

// puzzleWidget is what a browser may know of rules.Remote.
type puzzleWidget struct {
	Script  string `json:"script"`
	Class   string `json:"class"`
	SiteKey string `json:"site_key"`
	Field   string `json:"field"`
}

func shape(z *gate.Puzzle) *puzzle {
	out := &puzzle{Token: z.Token, Level: z.Level, Until: z.Until.UTC(), Wait: z.Wait.Milliseconds(), AnswerURL: answerPath}
	if z.Seed != "" {
		out.Seed, out.Parts, out.Bits, out.Algorithm = z.Seed, z.Parts, z.Bits, "sha-256"
	}
	if z.Captcha {
		q := "?token=" + url.QueryEscape(z.Token)
		out.Captcha = &puzzleImage{imagePath + q, soundPath + q}
	}
	if z.Remote != nil {
		out.Remote = &puzzleWidget{z.Remote.Script, z.Remote.Class, z.Remote.SiteKey, z.Remote.Field}
	}
	return out
}

// challenge answers a refusal with its puzzle; false: the usual answer is to be given. An
// operator's own answer stands, but for the slots in its page.
func (p *Proxy) challenge(r *request, retry time.Duration) bool {
	s := r.facts.Sale
	if p.challenges == nil || s == nil || s.Challenge == nil {
		return false
	}
	a, page := r.kind.answers[gate.Challenge], r.head.wantsHTML()
	switch {
	case page && a.own.Redirect != "", !page && a.own.JSON != nil:
		return false
	case page && a.own.Page != nil && !bytes.Contains(a.own.Page, []byte(pages.SlotChallenge)) && !bytes.Contains(a.own.Page, []byte(pages.SlotToken)):
		return false
	}
	device := p.device(r)
	if device == "" && page {
		device, r.newVisitor = p.secret.newVisitor()
		p.greet(r)
	}
	z := p.challenges.Puzzle(&r.facts, device)
	p.challenges.events[puzzlesShown].Inc()
	if retry > 0 {
		r.retryAfter(jitter(retry))
	}
	if !page {
		puzzle, _ := json.Marshal(shape(&z)) // it has no value without JSON
		r.text = append(append(append(r.text[:0], a.json...), a.usual...), `,"challenge":`...)
		r.text = append(append(r.text, puzzle...), '}', '\n')
		p.reply(r, a.status, "application/problem+json", r.text)
		return true
	}
	text := string(a.own.Page)
	if text == "" {
		text = p.challenges.pages[index(z.Captcha)]
		r.line("Content-Security-Policy", p.challenges.policy[index(z.Remote != nil)])
	}
	p.reply(r, a.status, "text/html; charset=utf-8", r.puzzlePage(text, &z))
	return true
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// puzzlePage fills the slots of a page.
func (r *request) puzzlePage(text string, z *gate.Puzzle) []byte {
	shaped := shape(z)
	puzzle, _ := json.Marshal(shaped) // with "<", ">" and "&" escaped
	image, sound := "", ""
	if shaped.Captcha != nil {
		image, sound = shaped.Captcha.Image, shaped.Captcha.Sound
	}
	repost := "1"
	if m := string(r.head.method); m == "GET" || m == "HEAD" {
		repost = "0"
	}
	return []byte(strings.NewReplacer(
		pages.SlotChallenge, string(puzzle),
		pages.SlotToken, html.EscapeString(z.Token),
		pages.SlotImage, html.EscapeString(image),
		pages.SlotSound, html.EscapeString(sound),
		pages.SlotBack, html.EscapeString(r.cameFrom()),
		pages.SlotRepost, repost,
	).Replace(text))
}

// cameFrom is the path of the page to return to: the one that was asked for, or the one
// that a form was sent from.
func (r *request) cameFrom() string {
	if m := string(r.head.method); m == "GET" || m == "HEAD" {
		return localPath(string(r.head.target))
	}
	referer, n := r.head.value("Referer")
	rest, ok := cutScheme(referer)
	if n != 1 || !ok || !bytes.HasPrefix(rest, r.head.hostValue) || len(r.head.hostValue) == 0 {
		return "/"
	}
	return localPath(string(rest[len(r.head.hostValue):]))
}

// maxBack bounds a path to return to, bytes.
const maxBack = 1024

// localPath is path if it leads nowhere but to this shop, else "/". Browsers take "\" for "/",
// and overlook some of what is below a blank.
func localPath(path string) string {
	if len(path) > maxBack || !strings.HasPrefix(path, "/") || len(path) > 1 && (path[1] == '/' || path[1] == '\\') {
		return "/"
	}
	for _, c := range []byte(path) {
		if c <= ' ' || c >= 0x7f {
			return "/"
		}
	}
	return path
}

// device is the id of the browser: that of the visitor's cookie which it shows, or is
// about to be given; "": it has none.
func (p *Proxy) device(r *request) string {
	if r.newVisitor != "" {
		return r.newVisitor[:visitorID]
	}
	cookie, f := r.head.cookie(visitorCookie)
	if f != "" || cookie == "" {
		return ""
	}
	s := p.passes.signers.Get().(*signer)
	defer p.passes.signers.Put(s)
	return s.visitor(cookie)
}

// showCleared reads the proofs that a sale's request shows: the first that is good counts.
func (p *Proxy) showCleared(r *request) {
	if p.challenges == nil || r.facts.Sale.Challenge == nil {
		return
	}
	device, tried := "", 0
	r.head.cleared(r.facts.Sale, func(proof []byte) (enough bool) {
		if tried == 0 {
			device = p.device(r)
		}
		tried++
		r.facts.Cleared = p.challenges.Cleared(view(proof), &r.facts, device)
		return tried == maxProofs || !r.facts.Cleared.At.IsZero()
	})
}

// cleared shows the proofs of a sale that stand in the head, until it is enough.
func (h *head) cleared(s *rules.Sale, see func(proof []byte) (enough bool)) {
	for i := range h.fields {
		f := &h.fields[i]
		switch f.known {
		case hPenstock:
			if f.is(clearedHeader) && len(f.value) > 0 && see(f.value) {
				return
			}
		case hCookie:
			if clearedIn(f.value, s.Name, see) {
				return
			}
		}
	}
}

// clearedIn looks for a sale's proofs among cookies.
func clearedIn(cookies []byte, sale string, see func(proof []byte) (enough bool)) (enough bool) {
	for rest := cookies; ; {
		i := bytes.Index(rest, clearedPrefix)
		if i < 0 {
			return false
		}
		before := trimOWS(cookies[:len(cookies)-len(rest)+i])
		if rest = rest[i+len(clearedPrefix):]; len(before) > 0 && before[len(before)-1] != ';' {
			continue // the end of another cookie's name, or in its value
		}
		piece := rest
		if j := bytes.IndexByte(rest, ';'); j >= 0 {
			piece = rest[:j]
		}
		name, proof, _ := bytes.Cut(piece, equals)
		if proof = trimOWS(proof); string(name) == sale && len(proof) > 0 && see(proof) {
			return true
		}
	}
}

var clearedPrefix = []byte(clearedCookie)
