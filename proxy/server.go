package proxy

// Making a proxy, putting rules to use, serving and leaving.

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"penstock/proxy/certs"
	"penstock/proxy/gate"
	"penstock/proxy/upstream"
	"penstock/rules"
)

// Options is what a proxy is made of.
type Options struct {
	Gates      Gates
	Challenger gate.Challenger // nil: nobody is challenged
	Watcher    gate.Watcher    // hears of every decision; nil: nobody does
	Secret     []byte          // at least 32 bytes; signs cookies, hashes accounts in the log
	Log        *slog.Logger
	Registry   prometheus.Registerer
}

// ruled is everything derived from one set of rules, swapped as one.
type ruled struct {
	set            *rules.Set
	enforced       *rules.Set // the same but for sales that only observe
	origin         *upstream.Origin
	rest           *kind // requests that are no sale's and no route's
	bySale         map[*rules.Sale]*kind
	byRoute        map[*rules.Route]*kind
	withPasses     map[string]*kind // sales by name, those whose winners get a pass
	withPages      []*rules.Sale    // those that know the pages of what they sell
	accountHeaders []string         // that name accounts, or speak of them
	shares         bool             // some sale may be asked by pages of other origins
	challenged     bool             // some sale has challenges, and there is who makes them
	kept           shelf
	bodyLimit      int64 // of bodies that must be read to find their sale
	bodyTimeout    time.Duration
}

// kind is what requests of one sale, of one route, or of neither have in common.
type kind struct {
	*counts
	answers *answers
}

// New makes a proxy without rules; Use must come before the first request.
func New(o Options) *Proxy {
	p := &Proxy{
		gates: o.Gates.list(), watcher: o.Watcher, secret: o.Secret, jwts: newJWTs(), log: o.Log,
		metrics: newMetrics(o.Registry), tokens: newTokens(), passes: newPasses(o.Secret), ctx: context.Background(),
	}
	for i, name := range gateNames {
		p.gateTimes[i] = p.metrics.gate.WithLabelValues(name)
	}
	for c := range rules.Priorities {
		p.waitTimes[c] = p.metrics.wait.WithLabelValues(c.String())
	}
	p.tunnels = newTunnels(o.Registry)
	p.challenges = newChallenges(&o)
	p.throttle = throttle{last: map[string]time.Time{}, left: map[string]int{}}
	p.watchKept(o.Registry)
	p.requests.New = func() any { return new(request) }
	return p
}

// Use puts rules to use for every request that begins from now on. Those under way
// keep the rules they began with.
func (p *Proxy) Use(set *rules.Set) {
	u := &ruled{
		set:     set,
		origin:  upstream.New(reach(&set.Origin)),
		rest:    &kind{p.metrics.counts("", ""), render(set.Answers)},
		bySale:  map[*rules.Sale]*kind{},
		byRoute: map[*rules.Route]*kind{},

		withPasses: map[string]*kind{},
	}
	for _, s := range set.Sales {
		u.bySale[s] = &kind{p.metrics.counts(s.Name, ""), render(set.Answers, s.Answers)}
		if s.Stock != nil && s.Enforce {
			u.withPasses[s.Name] = u.bySale[s]
		}
		if s.Behaviour != nil && s.Behaviour.Page != "" {
			u.withPages = append(u.withPages, s)
		}
		if s.Match.NeedsBody() || s.Order != nil && s.Order.Match.NeedsBody() {
			u.bodyLimit = max(u.bodyLimit, s.Limits.Body)
			u.bodyTimeout = max(u.bodyTimeout, s.Limits.BodyTimeout)
		}
		u.shares = u.shares || len(s.Origins) > 0
		u.challenged = u.challenged || s.Challenge != nil && p.challenges != nil
		for _, a := range s.Account {
			if a.Kind == rules.FromHeader {
				u.accountHeaders = append(u.accountHeaders, a.Name)
			}
		}
		u.accountHeaders = append(u.accountHeaders, termHeaders(s)...)
	}
	for _, r := range set.Routes {
		u.byRoute[r] = &kind{p.metrics.counts("", r.Name), render(set.Answers, r.Answers)}
	}
	p.keep(u)
	u.enforced = enforced(set)
	if p.tls == nil && set.TLS != nil {
		p.tls = certs.New(set.TLS)
	}
	p.UseTLS(set.TLS)
	if old := p.current.Swap(u); old != nil {
		old.origin.Close()
	}
}

func enforced(set *rules.Set) *rules.Set {
	strict := *set
	strict.Sales = slices.DeleteFunc(slices.Clone(set.Sales), func(s *rules.Sale) bool { return !s.Enforce })
	if len(strict.Sales) == len(set.Sales) {
		return set
	}
	return &strict
}

// Server is one listener's worth of serving.
type Server struct {
	p     *Proxy
	front *front
	srv   *fasthttp.Server
	watch *watch
	ln    net.Listener
	left  bool // Shutdown was called; with ln, guarded by watch.mu
}

// Server makes the front for p, with the limits of set's client section.
func (p *Proxy) Server(set *rules.Set) *Server {
	s := &Server{p: p, front: p.front(set), watch: newWatch(set.Client, budget(set)), srv: &fasthttp.Server{
		Handler:                      p.parsed,
		ErrorHandler:                 p.malformed,
		HeaderReceived:               bodiless,
		ExpectHandler:                p.expect,
		Concurrency:                  1 << 24, // our own budget decides; theirs resets connections
		ReadBufferSize:               set.Client.MaxHeader,
		StreamRequestBody:            true,
		MaxRequestBodySize:           1, // nothing is read ahead of the handler
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		NoDefaultDate:                true,
		SecureErrorLogMessage:        true,
		Logger:                       quiet{},
	}}
	s.watch.answer = p.whole
	s.watch.report = func(all, parked int) {
		p.metrics.connections[0].Set(float64(all - parked))
		p.metrics.connections[1].Set(float64(parked))
		p.metrics.surplus.Add(float64(s.watch.refused.Swap(0)))
	}
	return s
}

// bodiless spares a request that says it has no body the making, and the draining, of a
// body stream: as without a Content-Length, fasthttp then sets the length to 0 itself.
func bodiless(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if h.ContentLength() == 0 && !h.IsGet() && !h.IsHead() {
		h.SetContentLength(-2)
	}
	return fasthttp.RequestConfig{}
}

// quiet drops fasthttp's own log: it can hold bytes of requests, cookies included.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// Serve accepts connections until Shutdown closes ln. It is called once.
func (s *Server) Serve(ln net.Listener) error {
	lot, err := newLot(s.again)
	if err != nil {
		return err
	}
	s.watch.mu.Lock()
	s.watch.lot, s.ln = lot, ln
	left := s.left
	s.watch.mu.Unlock()
	if left { // before it came to that
		lot.file.Close()
		return ln.Close()
	}
	go s.watch.run()
	go s.watch.wake()
	return s.srv.Serve(&listener{Listener: ln, front: s.front, watch: s.watch, failed: func(err error) {
		s.p.metrics.acceptErr.Inc()
		s.p.warn("accept", err)
	}})
}

// again serves a connection that has been idle.
func (s *Server) again(c *conn) {
	defer func() {
		if e := recover(); e != nil {
			s.p.panicked(e)
			c.Close()
		}
	}()
	s.srv.ServeConn(c) // what it says went wrong, the client has been told
}

// Shutdown stops accepting and lets running requests end within ctx. Meanwhile requests on
// open connections are served, and are told that the connection ends; in the second half
// of the time they are refused. Then it waits as long for late answers of the origin.
// WebSockets are waited for, too, and cut in the end, which is no error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.p.draining.Store(true)
	if end, ok := ctx.Deadline(); ok {
		half := time.AfterFunc(time.Until(end)/2, func() { s.p.leaving.Store(true) })
		defer half.Stop()
	}
	s.watch.mu.Lock()
	ln := s.ln
	s.ln, s.left = nil, true
	s.watch.mu.Unlock()
	if ln == nil {
		return nil // it never served, or has left already
	}
	err := ln.Close()
	select {
	case <-s.watch.drain():
	case <-ctx.Done():
		if all, _ := s.watch.size(); all > s.p.tunnels.count() {
			err = errors.Join(err, ctx.Err())
		}
	}
	if n := s.p.tunnels.shut(ctx); n > 0 {
		s.p.log.Info("drain: WebSockets were cut", "count", n)
	}
	s.watch.cut()
	close(s.watch.stop)
	s.watch.lot.file.Close()
	late := make(chan struct{})
	go func() { s.p.late.Wait(); close(late) }()
	select {
	case <-late:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	return err
}

// malformed answers what fasthttp could not parse.
func (p *Proxy) malformed(c *fasthttp.RequestCtx, err error) {
	conn, _ := c.Conn().(*conn)
	if conn == nil || !conn.began.Load() || conn.between && conn.ahead == 0 || err == errParked {
		return // nothing was asked: an answer would be taken for that to the next request
	}
	reason := gate.BadRequest
	var small *fasthttp.ErrSmallBuffer
	var netErr net.Error
	switch {
	case errors.As(err, &small):
		reason = gate.HeadTooLarge
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		reason = gate.BodyTooLarge
	case errors.As(err, &netErr) && netErr.Timeout():
		reason = gate.BodyTimeout
	}
	u := p.current.Load()
	u.rest.reasons[reason].Inc()
	r := &request{ruled: u, c: c, conn: conn, last: true}
	conn.parking = false // it had begun to ask, in the packet of the last request, and that is lost
	conn.lingers = true  // nobody knows how much more there is
	u.rest.answers[reason].write(r, 0, "")
	r.flush()
}

// ask puts the question of gate i, and takes the time if it may wait.
func (p *Proxy) ask(r *request, i int, g gate.Gate) gate.Verdict {
	if waiting&(1<<i) == 0 || i != slot && r.facts.Sale == nil { // the stock's have nothing to wait for
		return g.Admit(p.ctx, &r.facts)
	}
	ctx := p.ctx
	if r.waits != nil {
		ctx = r.waits
	}
	if i == slot && r.conn != nil {
		return p.askSlot(r, g, ctx)
	}
	started := time.Now()
	v := g.Admit(ctx, &r.facts)
	p.gateTimes[i].Observe(time.Since(started).Seconds())
	if i == stock {
		r.decided = time.Now()
		if r.facts.Sale.Stock != nil {
			r.kind.decisions[v.Reason].Inc()
		}
	}
	return v
}

// askSlot waits for the origin as long as the client is there.
func (p *Proxy) askSlot(r *request, g gate.Gate, ctx context.Context) gate.Verdict {
	r.here = presence{Context: ctx, conn: r.conn}
	v := g.Admit(&r.here, &r.facts)
	took := r.here.waited().Seconds()
	r.left = r.here.end()
	p.gateTimes[slot].Observe(took)
	p.waitTimes[r.waitsAs()].Observe(took)
	return v
}

// waitsAs is the class in which a request waits for the origin: who holds a real unit
// has won.
func (r *request) waitsAs() rules.Priority {
	if r.holdsUnit() && r.facts.Sale.Enforce {
		return rules.Winner
	}
	return r.facts.Priority
}

// trouble logs what stood behind a refusal, if anything did.
func (p *Proxy) trouble(v gate.Verdict) {
	if v.Err != nil {
		p.warn(v.Reason.String(), v.Err)
	}
}

// warn logs trouble at most once a second per kind; what is left out is counted.
func (p *Proxy) warn(kind string, err error) {
	if n, ok := p.throttle.allow(kind, time.Now()); ok {
		p.log.Warn(kind, "err", err, "more", n)
	}
}

// throttle lets one line per kind and second through.
type throttle struct {
	mu   sync.Mutex
	last map[string]time.Time
	left map[string]int
}

func (t *throttle) allow(kind string, at time.Time) (leftOut int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at.Sub(t.last[kind]) < time.Second {
		t.left[kind]++
		return 0, false
	}
	leftOut = t.left[kind]
	t.last[kind], t.left[kind] = at, 0
	return leftOut, true
}

// logWinner writes the one line every request that held a unit gets.
func (p *Proxy) logWinner(r *request) {
	outcome := r.end.Outcome
	if r.end.Kind == gate.Refused || r.end.Kind == gate.Unsent {
		outcome = rules.OutcomeFree
	}
	word := outcome.String()
	if r.step() == reserves && outcome != rules.OutcomeFree {
		word = "reserved" // what becomes of it a later request decides, or time
	} else {
		r.kind.outcomes[outcome].Inc()
	}
	p.log.Info("winner",
		"sale", r.facts.Sale.Name, "token", tokenString(r.reservation()), "step", r.step(),
		"account", p.secret.hash(r.facts.Account), "item", r.facts.Item, "units", r.facts.Units,
		"outcome", word, "order", r.end.Ref, "answer", r.answered.String(), "status", r.end.Status,
		"took_ms", time.Since(r.facts.At).Milliseconds())
}
