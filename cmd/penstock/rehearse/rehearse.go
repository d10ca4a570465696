// Package rehearse plays a sale before it is held: it starts a gateway on a copy of the
// operator's file, with a shop behind it, sends a crowd at the hour of opening, breaks
// what it is told to break, and says whether the sale would have gone as the file means
// it to.
//
// It gives up certainty for an hour's worth of evidence: the crowd runs on the machine
// that it tests, and a modelled origin is not the real one. It never takes a unit of the
// real stock, unless it is sent to a gateway that runs already.
package rehearse

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"penstock/cmd/penstock/rehearse/crowd"
	"penstock/cmd/penstock/rehearse/report"
	"penstock/rules"
	"penstock/rules/config"
)

// Options are what the operator asks for.
type Options struct {
	File string
	Sale string // "": the first that has stock

	Rate     float64 // visitors/s; 0: Times × capacity
	Times    float64
	Capacity float64 // pages/s of the origin; 0: tried out
	Shape    string  // step, ramp or spikes
	For      time.Duration
	Seed     uint64
	Page     string // where people look before they buy
	People   int    // of a labelled crowd

	Origin     string   // shop, model:NAME or real
	SampleShop string   // its executable; "": beside ours
	ShopArgs   []string // more of its flags
	Gateway    string   // start, or http://HOST:PORT of one that runs
	Admin      string   // host:port of the running gateway's operators' listener; "": the file's
	Self       string   // our executable
	Redis      bool     // stock in the file's Redis, even if nothing is done to it

	Slow, Dead *Fault
	To         []string // hosts that may be aimed at if they are named twice

	RefuseWithin time.Duration // p99 of refusals at once; 0: not asked
	Goodput      float64       // share of the origin's best; 0: not asked
	MaxLag       time.Duration // p99 of our own
	Command      string        // that plays it again
	Progress     func(line string)
}

// Fault is what is done to Redis.
type Fault struct {
	At    time.Duration // from the start
	Delay time.Duration // of its answers; 0: it is dead
	For   time.Duration // 0: until the end
}

// Misuse is a rehearsal that cannot be played as it was asked for.
type Misuse struct{ Err error }

func (m *Misuse) Error() string { return m.Err.Error() }
func (m *Misuse) Unwrap() error { return m.Err }

func misuse(format string, args ...any) error { return &Misuse{fmt.Errorf(format, args...)} }

// play is one rehearsal under way.
type play struct {
	Options
	set     *rules.Set
	sale    *rules.Sale
	origin  *origin // nil: somewhere behind a gateway that runs
	link    *link
	gateway *gateway
	limit   capacity
	result  report.Result
	adjust  func(*copyOf) // of the file, beyond what every rehearsal does; nil: nothing
	before  time.Duration // how much longer than usual the crowd is there before it opens
	opens   time.Time     // of a labelled crowd's sale
	ends    []func()      // in reverse
}

// Run plays the sale and judges it.
func Run(ctx context.Context, o Options) (*report.Result, error) {
	p := &play{Options: o}
	defer func() {
		for i := len(p.ends) - 1; i >= 0; i-- {
			p.ends[i]()
		}
	}()
	for _, act := range []func(context.Context) error{p.read, p.find, p.connect, p.try, p.open, p.perform} {
		if err := act(ctx); err != nil {
			return nil, err
		}
	}
	return &p.result, nil
}

// later leaves something to be done at the end.
func (p *play) later(f func()) { p.ends = append(p.ends, f) }

func (p *play) say(format string, args ...any) {
	if p.Progress != nil {
		p.Progress(fmt.Sprintf(format, args...))
	}
}

// read reads the file, and chooses the sale.
func (p *play) read(context.Context) (err error) {
	if p.set, err = config.Load(p.File); err != nil {
		return &Misuse{err}
	}
	for _, s := range p.set.Sales {
		if s.Name == p.Sale || p.Sale == "" && s.Stock != nil {
			p.sale = s
			break
		}
	}
	switch {
	case p.sale == nil && p.Sale != "":
		return misuse("there is no sale %q in %s", p.Sale, p.File)
	case p.sale == nil:
		return misuse("no sale of %s has stock", p.File)
	case (p.Slow != nil || p.Dead != nil) && (p.Gateway != "start" || p.set.Store.Redis == nil):
		return misuse("nothing can be done to Redis: the file has none, or the gateway runs already")
	case (p.Redis || p.Slow != nil || p.Dead != nil) && p.set.Store.Redis == nil:
		return misuse("the file has no Redis")
	case !slices.Contains([]string{"step", "ramp", "spikes"}, p.Shape):
		return misuse("-shape %q: want step, ramp or spikes", p.Shape)
	case p.For <= 0 || p.Rate <= 0 && p.Times <= 0:
		return misuse("a crowd needs -crowd or -times, and -for, above 0")
	case p.Gateway != "start" && p.Origin != "real":
		return misuse("a gateway that runs has its own origin: leave out -origin")
	}
	p.result = report.Result{
		Shape: report.Shape, Sale: p.sale.Name, File: p.File, Seed: p.Seed, Command: p.Command,
		Changes: []string{}, Faults: []report.Fault{},
	}
	return nil
}

// find starts the origin, or finds the file's.
func (p *play) find(ctx context.Context) (err error) {
	name, isModel := strings.CutPrefix(p.Origin, "model:")
	switch {
	case p.Gateway != "start":
		p.result.Origin = "an origin of its own"
		return p.visit(ctx)
	case p.Origin == "shop":
		p.origin, err = startShop(ctx, p.SampleShop, p.sale, p.ShopArgs)
	case isModel:
		p.origin, err = startModel(name, p.Seed, p.sale)
	case p.Origin == "real":
		return p.findReal(ctx)
	default:
		return misuse("-origin %q: want shop, model:NAME or real", p.Origin)
	}
	if err != nil {
		return &Misuse{err}
	}
	p.later(p.origin.stop)
	p.result.Origin = p.origin.about
	return nil
}

func (p *play) findReal(ctx context.Context) error {
	address := p.set.Origin.Address
	if p.set.Origin.Network == "unix" {
		address = "unix:" + address
	}
	address, err := pin(ctx, lookup, address, p.To)
	if err != nil {
		return &Misuse{err}
	}
	p.origin = &origin{address: address, about: "the file's origin at " + p.set.Origin.Address, stop: func() {}}
	p.result.Origin = p.origin.about
	return nil
}

// connect puts a link between the gateway and the file's Redis.
func (p *play) connect(ctx context.Context) error {
	if !p.Redis && p.Slow == nil && p.Dead == nil {
		return nil
	}
	r := p.set.Store.Redis
	if r.Mode != rules.RedisSingle || len(r.Addrs) != 1 || r.TLS != nil {
		return misuse("the link to Redis can only be one server without TLS")
	}
	to, err := pin(ctx, lookup, r.Addrs[0], p.To)
	if err != nil {
		return &Misuse{err}
	}
	if p.link, err = openLink(to); err != nil {
		return err
	}
	p.later(p.link.close)
	return nil
}

// try finds out what the origin can do.
func (p *play) try(ctx context.Context) (err error) {
	switch {
	case p.Capacity > 0:
		p.limit.rate = p.Capacity
	case p.origin == nil && p.Rate > 0:
	case p.origin == nil:
		return misuse("what the origin behind a running gateway can do is not known: say it with -capacity, or say the crowd with -crowd")
	case p.origin.best != nil:
		p.limit.rate = p.origin.best(time.Now())
	default:
		p.say("trying out what the origin can do …")
		host := p.sale.Match.Host
		if host == "" {
			host = "127.0.0.1"
		}
		if p.limit, err = calibrate(ctx, p.origin.address, host, p.Page); err != nil {
			return err
		}
		p.say("the origin serves %.0f pages/s at its best, with %d at once", p.limit.rate, p.limit.at)
	}
	return nil
}

// open starts the gateway, and waits until shortly before the sale opens.
func (p *play) open(ctx context.Context) error {
	if p.gateway != nil {
		return nil // it runs
	}
	scratch, err := os.MkdirTemp("", "penstock-rehearsal-")
	if err != nil {
		return fmt.Errorf("make a directory for the rehearsal: %w", err)
	}
	p.later(func() { os.RemoveAll(scratch) })
	behind := p.origin
	if p.Origin == "real" {
		behind = nil
	}
	c := adapt(p.set, p.sale, behind, p.link, scratch, time.Now().Add(p.before))
	if p.adjust != nil {
		p.adjust(c)
	}
	if p.gateway, err = startGateway(ctx, p.Self, p.File, c); err != nil {
		return err
	}
	p.later(p.gateway.stop)
	p.result.Changes = c.said
	if !c.opens.IsZero() && p.adjust == nil {
		return pause(ctx, time.Until(c.opens.Add(-lead)))
	}
	return nil
}

// visit finds a gateway that runs. Nothing of it is changed: what is bought is bought.
func (p *play) visit(ctx context.Context) error {
	address, host, err := place(p.Gateway)
	if err == nil {
		address, err = pin(ctx, lookup, address, p.To)
	}
	if err != nil {
		return &Misuse{err}
	}
	admin := p.Admin
	if admin == "" {
		admin = p.set.Admin.Listen
	}
	p.gateway = &gateway{address: address, host: host, desk: newDesk(admin, p.set.Admin.Token)}
	p.result.Changes = []string{"Nothing: the gateway runs as it is, and the crowd takes units of its real stock."}
	return nil
}

// pause waits, unless the rehearsal is called off.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// phases are the lead and the shape.
func (p *play) phases() []crowd.Phase {
	rate := p.Rate
	if rate == 0 {
		rate = p.Times * p.limit.rate
	}
	calm := rate / 20
	if p.limit.rate > 0 {
		calm = min(rate, p.limit.rate/4)
	}
	main := crowd.Phase{Name: p.Shape, For: p.For, Rate: rate, From: calm}
	switch p.Shape {
	case "ramp":
		main.Shape = crowd.Ramp
	case "spikes":
		main.Shape, main.Every, main.Width = crowd.Spikes, 5*time.Second, time.Second
	}
	return []crowd.Phase{{Name: "before", For: lead, Rate: calm}, main}
}
