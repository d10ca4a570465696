package proxy

// The addresses below /.penstock/ where challenges are answered: the answer itself, image
// and sound, and a page that says thank you. They are the proxy's own: nothing below is
// ever forwarded, once a sale has challenges.
//
// No gate can count what is asked here, since it is no sale's. What an answer costs, a
// trip to the store, and what a drawing costs, a core, is bounded by how many are at it at
// a time. It gives up fairness: who asks for many images keeps others waiting for theirs,
// and then work or a widget is left to them.

import (
	"bytes"
	"encoding/json"
	"errors"
	"html"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"penstock/proxy/gate"
	"penstock/proxy/pages"
	"penstock/rules"
)

const (
	ownPrefix  = "/.penstock/"
	answerPath = ownPrefix + "challenge"
	imagePath  = answerPath + "/image"
	soundPath  = answerPath + "/sound"
)

const (
	// maxAnswer bounds an answer's body, bytes: what widgets say has up to some 4 KB.
	maxAnswer = 16 << 10
	// answerPatience is how long that body may take to come.
	answerPatience = 10 * time.Second
	// judgedAtOnce is how many answers are judged at a time: each may wait for the store.
	judgedAtOnce = 256
	// turnstilePatience is how long one waits to be let in; an image is not asked for twice
	// by a browser.
	turnstilePatience = 2 * time.Second
)

// drawnAtOnce is how many images or sounds are made at a time: half of the machine.
func drawnAtOnce() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// turnstile lets few in at a time, and lets few more wait.
type turnstile struct{ inside, all chan struct{} }

func newTurnstile(n int) turnstile {
	return turnstile{make(chan struct{}, n), make(chan struct{}, n+256)}
}

// enter reports whether one is inside, and then owes leave.
func (t *turnstile) enter(patience time.Duration) bool {
	select {
	case t.all <- struct{}{}:
	default:
		return false
	}
	select {
	case t.inside <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case t.inside <- struct{}{}:
		return true
	case <-timer.C:
		<-t.all
		return false
	}
}

func (t *turnstile) leave() { <-t.inside; <-t.all }

// ownPlace matches all that is the proxy's own, in every form that the shop may read.
var ownPlace = &rules.Sale{Match: rules.Match{Path: ownPrefix + "**"}}

// ownPath answers requests for the proxy's own addresses; false: it is none.
func (p *Proxy) ownPath(r *request) bool {
	if !r.challenged || !ownPlace.At(&r.path) {
		return false
	}
	if p.leaving.Load() {
		p.refuse(r, gate.Verdict{Reason: gate.Draining, Retry: time.Second}, "")
		return true
	}
	path, method := string(r.path.Raw()), string(r.head.method)
	if path != answerPath && path != imagePath && path != soundPath {
		p.tell(r, gate.BadRequest, 404, "not_found", "There is nothing at this address.")
		return true
	}
	r.answered = gate.Challenge
	r.lines = r.lines[:0]
	asked, _ := r.head.value("Access-Control-Request-Method")
	switch {
	case method == "OPTIONS" && r.page != nil && len(asked) > 0:
		p.preflight(r, r.pageMayAnswer(), asked)
	case path == answerPath && method == "POST":
		p.answerChallenge(r)
	case path == answerPath && (method == "GET" || method == "HEAD"):
		p.thank(r)
	case path == imagePath && method == "GET":
		p.draw(r, "image/png", imagesShown, p.challenges.Image)
	case path == soundPath && method == "GET":
		p.draw(r, "audio/wav", soundsPlayed, p.challenges.Sound)
	default:
		if r.allow = "GET"; path == answerPath {
			r.allow = "GET, HEAD, POST"
		}
		p.refuse(r, gate.Verdict{Reason: gate.Method}, "")
	}
	return true
}

// answerChallenge takes one answer to a challenge.
func (p *Proxy) answerChallenge(r *request) {
	if !p.readWhole(r, maxAnswer, answerPatience) {
		return
	}
	a, f := p.readAnswer(r)
	if f != "" {
		p.tell(r, gate.BadRequest, 400, "bad_request", string(f))
		return
	}
	if !p.challenges.judging.enter(turnstilePatience) {
		p.busy(r)
		return
	}
	defer p.challenges.judging.leave()
	solved, err := p.challenges.Answer(p.ctx, a)
	if err != nil {
		p.notSolved(r, err)
		return
	}
	p.challenges.events[answeredRight].Inc()
	age := strconv.FormatInt(int64(solved.For/time.Second), 10)
	r.line("Set-Cookie", clearedCookie+solved.Sale+"="+solved.Proof+"; Path=/; Max-Age="+age+r.passAttributes())
	if r.head.wantsHTML() {
		back := localPath(r.params.find(rules.FromForm, "back").value)
		r.line("Location", answerPath+"?sale="+url.QueryEscape(solved.Sale)+"&back="+url.QueryEscape(back))
		p.reply(r, 303, "", nil)
		return
	}
	body, _ := json.Marshal(struct {
		Cleared string `json:"cleared"`
		Sale    string `json:"sale"`
		ForMS   int64  `json:"for_ms"`
	}{solved.Proof, solved.Sale, solved.For.Milliseconds()})
	p.reply(r, 200, "application/json", append(body, '\n'))
}

// readAnswer finds the answer in the body. Everything in it is copied.
func (p *Proxy) readAnswer(r *request) (a gate.Answer, f fault) {
	kind := rules.FromForm
	switch {
	case r.params.broken:
		return a, "the body cannot be read as its Content-Type says"
	case r.params.kind == bodyJSON:
		kind = rules.FromJSON
	case r.params.kind != bodyForm && r.params.kind != bodyMultipart:
		return a, "the answer must be a form or JSON"
	}
	one := func(name string, into *string) {
		v := r.params.find(kind, name)
		switch {
		case f != "" || v.n == 0:
		case v.n > 1 || v.inPlace != 1 || v.array:
			f = fault("“" + name + "” must stand once, in the body")
		case *into == "":
			*into = strings.Clone(v.value)
		}
	}
	one("token", &a.Token)
	one("work", &a.Work)
	one("text", &a.Text)
	one("remote", &a.Remote)
	for _, s := range r.set.Sales { // a form with a widget in it has the provider's name for it
		if s.Challenge != nil && s.Challenge.Remote != nil {
			one(s.Challenge.Remote.Field, &a.Remote)
		}
	}
	if f == "" && a.Token == "" {
		f = "“token” is missing"
	}
	a.Device, a.IP = strings.Clone(p.device(r)), r.facts.IP
	return a, f
}

// notTakenFor is one way not to be good.
type notTakenFor struct {
	err    error
	event  int
	status int
	words  string
}

// notTaken are the words for answers, or tokens, that are not good.
var notTaken = []notTakenFor{
	{gate.ErrWrongAnswer, answeredWrong, 403, "That was not the right answer. Go back to the shop and press the button again: you get another one."},
	{gate.ErrEarlyAnswer, answeredEarly, 503, "Nobody may answer so soon. Nothing is lost: send the same answer again in a moment."},
	{gate.ErrLateAnswer, answeredLate, 403, "The answer came too late. Go back to the shop and press the button again: you get another one."},
	{gate.ErrSpent, answeredTwice, 403, "This has been answered before. Go back to the shop and press the button again."},
	{gate.ErrForeign, answeredForeign, 403, "This was asked of another browser, or yours keeps no cookies for this shop. Allow cookies, then go back to the shop and press the button again."},
	{gate.ErrUnchecked, answeredUnchecked, 503, "The answer cannot be checked right now."},
}

// notSolved says what is wrong with an answer.
func (p *Proxy) notSolved(r *request, err error) {
	i := slices.IndexFunc(notTaken, func(n notTakenFor) bool { return errors.Is(err, n.err) })
	if i < 0 {
		i = len(notTaken) - 1
	}
	n := notTaken[i]
	p.challenges.events[n.event].Inc()
	if n.event == answeredUnchecked { // all else is the client's own doing
		p.warn("challenge", err)
	}
	if n.status == 503 {
		r.retryAfter(jitter(2 * time.Second))
	}
	p.tell(r, gate.Challenge, n.status, challengeEventNames[n.event], n.words)
}

// draw makes an image or a sound.
func (p *Proxy) draw(r *request, kind string, event int, made func(token string) ([]byte, error)) {
	token := r.params.find(rules.FromQuery, "token")
	if token.n != 1 {
		p.tell(r, gate.BadRequest, 400, "bad_request", "“token” must stand once, in the query")
		return
	}
	if !p.challenges.drawing.enter(turnstilePatience) {
		p.busy(r)
		return
	}
	defer p.challenges.drawing.leave()
	body, err := made(token.value)
	if err != nil {
		p.notSolved(r, err)
		return
	}
	p.challenges.events[event].Inc()
	p.reply(r, 200, kind, body)
}

// thank says what came of an answer: thanks, if the browser shows the proof.
func (p *Proxy) thank(r *request) {
	sale := r.params.find(rules.FromQuery, "sale").value
	kept := false
	for i := range r.head.fields {
		if f := &r.head.fields[i]; f.known == hCookie && sale != "" {
			kept = kept || clearedIn(f.value, sale, func([]byte) bool { return true })
		}
	}
	switch {
	case !r.head.wantsHTML():
		p.reply(r, 200, "application/json", append(strconv.AppendBool([]byte(`{"kept":`), kept), "}\n"...))
	case kept:
		p.reply(r, 200, "text/html; charset=utf-8", p.toldPage(r, "Thank you", "That was all. Go back to the shop, and if you had pressed a button there, press it again."))
	default:
		p.reply(r, 200, "text/html; charset=utf-8", p.toldPage(r, "Cookies are off",
			"Your browser keeps no cookies for this shop, so the shop cannot tell that you have passed the check. Allow cookies for this site, then go back to the shop and press the button again."))
	}
}

func (p *Proxy) busy(r *request) {
	p.challenges.events[challengesBusy].Inc()
	r.retryAfter(jitter(time.Second))
	p.tell(r, gate.Overloaded, 503, "busy", "Too many are being checked at this moment. Nothing is lost: try again in a moment.")
}

// tell says what is wrong, as a page or as a problem. what is its name for programs.
func (p *Proxy) tell(r *request, reason gate.Reason, status int, what, words string) {
	r.answered = reason
	if r.head.wantsHTML() {
		p.reply(r, status, "text/html; charset=utf-8", p.toldPage(r, "That did not work", words))
		return
	}
	body, _ := json.Marshal(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Reason string `json:"reason"`
		Detail string `json:"detail"`
		Error  string `json:"error"`
	}{"That did not work", status, reason.String(), words, what})
	p.reply(r, status, "application/problem+json", append(body, '\n'))
}

func (p *Proxy) toldPage(r *request, title, words string) []byte {
	back := r.params.find(rules.FromForm, "back")
	if back.inPlace == 0 {
		back = r.params.find(rules.FromQuery, "back")
	}
	return []byte(strings.NewReplacer(
		pages.SlotTitle, title, pages.SlotDetail, html.EscapeString(words), pages.SlotBack, html.EscapeString(localPath(back.value)),
	).Replace(p.challenges.told))
}

// reply writes an answer of ours that is not in the table. r.lines are what its head has
// beside the usual.
func (p *Proxy) reply(r *request, status int, kind string, body []byte) {
	r.last = r.last || r.unread() || p.draining.Load()
	r.shareAnswer()
	b := append(append(r.out[:0], statusLines[status]...), "Penstock-Reason: "...)
	b = append(append(b, r.answered.String()...), "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"...)
	b = r.date(b)
	if kind != "" {
		b = append(append(append(b, "Content-Type: "...), kind...), "\r\n"...)
	}
	b = r.endHead(b, int64(len(body)))
	if string(r.head.method) != "HEAD" {
		b = append(b, body...)
	}
	r.out = b
}

// retryAfter adds that header for a wait that has its jitter.
func (r *request) retryAfter(wait time.Duration) {
	r.line("Retry-After", strconv.FormatInt(seconds(wait), 10))
}

// pageMayAnswer reports whether the page that asks by script belongs to a sale with
// challenges.
func (r *request) pageMayAnswer() bool {
	return slices.ContainsFunc(r.set.Sales, func(s *rules.Sale) bool {
		return s.Challenge != nil && slices.Contains(s.Origins, view(r.page))
	})
}

// shareAnswer lets such a page read an answer at one of our own addresses.
func (r *request) shareAnswer() {
	if r.page == nil || r.facts.Sale != nil || bytes.Contains(r.lines, []byte("Access-Control-")) {
		return
	}
	r.line("Vary", "Origin")
	if r.pageMayAnswer() {
		r.line("Access-Control-Allow-Origin", view(r.page))
		r.line("Access-Control-Allow-Credentials", "true")
		r.line("Access-Control-Expose-Headers", "Penstock-Reason, Retry-After")
	}
}
