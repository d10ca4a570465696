package main

// `penstock preflight`: everything that can be known to be wrong before a sale, looked at
// from the machine the gateway runs on, a line each, with what to do about it. It changes
// nothing and sends the shop two requests for its first page.
//
// What it gives up: it does not know the crowd (that is what rehearse is for), and what only
// a running gateway can know it asks one, if one runs.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"penstock/proxy"
	"penstock/proxy/admin"
	"penstock/rules"
	"penstock/rules/config"
)

// flight is one preflight.
type flight struct {
	out      io.Writer
	set      *rules.Set
	now      time.Time
	days     int     // a certificate is to be good for
	gateway  *client // nil: none answers
	failed   int
	warnings int
}

func (f *flight) ok(what, format string, args ...any) { f.say("ok", what, format, args) }

func (f *flight) warn(what, format string, args ...any) {
	f.warnings++
	f.say("warning", what, format, args)
}

func (f *flight) fail(what, format string, args ...any) {
	f.failed++
	f.say("FAIL", what, format, args)
}

func (f *flight) say(level, what, format string, args []any) {
	fmt.Fprintf(f.out, "%s: %s: %s\n", level, what, fmt.Sprintf(format, args...))
}

// lookPatience bounds one look at something.
const lookPatience = 10 * time.Second

func preflight(args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("penstock preflight", flag.ContinueOnError)
	flags.SetOutput(errs)
	file := flags.String("config", "", "the YAML `file` of the gateway")
	days := flags.Int("days", 7, "how many `days` the certificate has to be good for")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 || *file == "" {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		fmt.Fprintln(errs, "usage: penstock preflight -config FILE [-days N]")
		return 2
	}
	f := &flight{out: out, now: time.Now(), days: *days}
	f.run(*file)
	fmt.Fprintf(out, "%s: failures: %d, warnings: %d\n", *file, f.failed, f.warnings)
	if f.failed > 0 {
		return 1
	}
	return 0
}

func (f *flight) run(file string) {
	if !f.file(file) {
		return
	}
	f.running(file)
	f.listeners()
	f.certificate()
	f.origin()
	f.store()
	f.clock()
	f.sales()
	f.forwarders()
}

// file loads the file: without it there is nothing to look at.
func (f *flight) file(file string) bool {
	set, err := config.Load(file)
	var faults config.Faults
	if errors.As(err, &faults) {
		for _, one := range faults {
			f.fail("config", "%s", one)
		}
		return false
	}
	if err != nil {
		f.fail("config", "%v", err)
		return false
	}
	f.set = set
	f.ok("config", "%s has no faults: %d sales, %d routes", file, len(set.Sales), len(set.Routes))
	for _, w := range config.Warnings(set) {
		f.warn("config", "%s", w)
	}
	return true
}

// running finds out whether a gateway serves this file.
func (f *flight) running(file string) {
	c, err := newClient(&options{config: file})
	if err != nil {
		f.fail("gateway", "%v", err)
		return
	}
	c.base = strings.TrimSuffix(c.base, "/sales")
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimSuffix(strings.TrimPrefix(c.base, "http://"), "/api/v1"))
	if err != nil {
		f.warn("gateway", "none answers at %s: start it and ask again, some things only a running one knows", f.set.Admin.Listen)
		return
	}
	conn.Close()
	var all admin.Forwarders
	if err := c.ask(ctx, "GET", "/forwarders", nil, &all); err != nil {
		f.fail("gateway", "what listens on %s does not answer as a gateway of this version with this token: %v", f.set.Admin.Listen, err)
		return
	}
	f.gateway = c
	f.ok("gateway", "one runs, and answers at %s", f.set.Admin.Listen)
}

// listeners holds that the gateway can listen, or does.
func (f *flight) listeners() {
	for _, l := range []struct{ key, addr string }{{"listen", f.set.Listen}, {"admin.listen", f.set.Admin.Listen}, {"health.listen", f.set.Health}} {
		if l.addr == "" {
			continue
		}
		ln, err := net.Listen("tcp", l.addr)
		switch {
		case err == nil:
			ln.Close()
			if f.gateway != nil {
				f.fail(l.key, "%s is free, though a gateway runs: it has another file, restart it with this one", l.addr)
			} else {
				f.ok(l.key, "%s is free", l.addr)
			}
		case errors.Is(err, syscall.EADDRINUSE) && f.gateway != nil:
			f.ok(l.key, "%s is served", l.addr)
		case errors.Is(err, syscall.EADDRINUSE):
			f.fail(l.key, "%s is taken, and no gateway answers: find who has it (ss -ltnp) and stop it, or choose another port", l.addr)
		case errors.Is(err, os.ErrPermission):
			f.fail(l.key, "%s may not be listened on by this user: use a port from 1024 on, or grant CAP_NET_BIND_SERVICE", l.addr)
		default:
			f.fail(l.key, "%v: use an address that this machine has", err)
		}
	}
}

// certificate holds that clients will believe it, now and until every sale is over.
func (f *flight) certificate() {
	t := f.set.TLS
	if t == nil {
		return
	}
	for _, w := range config.CertificateWarnings(t, f.now) {
		f.warn("tls", "%s", w)
	}
	ends := t.Cert.Leaf.NotAfter
	switch left := ends.Sub(f.now); {
	case left <= 0 || f.now.Before(t.Cert.Leaf.NotBefore):
		f.fail("tls", "%s is not valid today: renew it, the gateway reads the new one by itself", t.CertFile)
	case left < time.Duration(f.days)*24*time.Hour:
		f.fail("tls", "%s runs out in less than %d days: renew it, the gateway reads the new one by itself", t.CertFile, f.days)
	default:
		f.ok("tls", "%s is good until %s", t.CertFile, ends.UTC().Format(time.RFC3339))
	}
	for _, s := range f.set.Sales {
		if last := later(s.Opens, s.Closes); last.After(ends) {
			f.fail("tls", "%s runs out before sale %s is over: renew it", t.CertFile, s.Name)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// origin looks at the shop's first page.
func (f *flight) origin() {
	o := &f.set.Origin
	p, err := f.probe("/")
	switch {
	case err != nil:
		f.fail("origin", "%s %v: start the shop, or correct origin.url", o.Address, err)
		return
	case p.Status >= 500:
		f.warn("origin", "%s answers its first page with %d: look at the shop's own log", o.Address, p.Status)
	default:
		f.ok("origin", "%s answers its first page with %d in %v", o.Address, p.Status, p.Took.Round(time.Millisecond))
	}
	if apart := p.Date.Sub(f.now).Abs().Round(time.Second); !p.Date.IsZero() && apart > 5*time.Second {
		f.warn("clock", "the shop's clock is %v away from this machine's: let both follow NTP", apart)
	}
	f.forced()
}

// probe gets a page of the shop as the first sale's clients name it.
func (f *flight) probe(path string) (*proxy.Probed, error) {
	host := ""
	for _, s := range f.set.Sales {
		if host == "" {
			host = s.Match.Host
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	return proxy.Probe(ctx, &f.set.Origin, host, path)
}
