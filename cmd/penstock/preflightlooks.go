package main

// The looks of a preflight at the store, at time, and at what only a running gateway knows.

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"penstock/limiter/stock"
	"penstock/limiter/stock/embedded"
	"penstock/limiter/stock/redis"
	"penstock/proxy/admin"
	"penstock/rules"
)

// store looks at how it is set up. An embedded one belongs to the gateway that runs.
func (f *flight) store() {
	var s stock.Store
	switch path := f.set.Store.Embedded; {
	case f.set.Store.Redis != nil:
		s = redis.New(*f.set.Store.Redis)
	case path == "":
		return
	case f.gateway != nil:
		f.ok("store", "%s is in use by the running gateway", path)
		return
	case !exists(path):
		f.room(filepath.Dir(path))
		return
	default:
		own, err := embedded.Open(path)
		if err != nil {
			f.fail("store", "%v", err)
			return
		}
		s = own
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	warnings, err := s.Inspect(ctx)
	if err != nil {
		f.fail("store", "%v: without it nothing is sold", err)
		return
	}
	for _, w := range warnings {
		f.warn("store", "%s", w)
	}
	f.ok("store", "answers, and holds what it must")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// room holds that a store could be made in a directory.
func (f *flight) room(dir string) {
	probe, err := os.CreateTemp(dir, ".penstock-preflight-")
	if err != nil {
		f.fail("store", "cannot be made in %s (%v): make the directory, and let this user write there", dir, err)
		return
	}
	probe.Close()
	os.Remove(probe.Name())
	f.ok("store", "will be made in %s", dir)
}

// clockBroken is what adjtimex answers where the kernel's clock is not kept by anybody.
const clockBroken = 5

// clock holds that time is right here, because windows open by it.
func (f *flight) clock() {
	var state syscall.Timex
	switch n, err := syscall.Adjtimex(&state); {
	case err != nil:
		f.warn("clock", "nobody says whether it is kept right (%v): look at timedatectl", err)
	case n == clockBroken:
		f.warn("clock", "%s here, and nothing keeps it right: turn on NTP (timedatectl set-ntp true), sales open by this clock", f.now.Format(time.RFC3339))
	default:
		f.ok("clock", "%s, kept by NTP", f.now.Format(time.RFC3339))
	}
	for _, s := range f.set.Sales {
		switch {
		case !s.Closes.IsZero() && !f.now.Before(s.Closes):
			f.warn("sale "+s.Name, "is over since %s: is that meant?", s.Closes.Format(time.RFC3339))
		case f.now.Before(s.Opens):
			f.ok("sale "+s.Name, "opens in %v, at %s", s.Opens.Sub(f.now).Round(time.Second), s.Opens.Format(time.RFC3339))
		default:
			f.ok("sale "+s.Name, "is open")
		}
		if !s.Enforce {
			f.warn("sale "+s.Name, "only observes: nobody is refused and no unit is taken; remove enforce: false to sell")
		}
	}
}

// sales asks the running gateway how the stock stands.
func (f *flight) sales() {
	if f.gateway == nil || f.set.Store == (rules.Store{}) {
		return
	}
	var all struct {
		Sales []admin.Sale `json:"sales"`
	}
	if !f.ask("/sales", &all) {
		return
	}
	for _, s := range all.Sales {
		what := "stock of " + plain(s.Name)
		switch {
		case s.Frozen:
			f.fail(what, "is frozen, the store has lost it: penstock stock load or thaw %s", plain(s.Name))
		case s.Archived:
			f.fail(what, "was archived: give the sale a name of its own")
		case !s.Loaded:
			f.fail(what, "is not loaded: penstock stock load %s", plain(s.Name))
		case s.State != "" && s.State != "open":
			f.fail(what, "was %s by an operator: penstock sale %s %s", plain(s.State), map[string]string{"paused": "resume", "closed": "open"}[s.State], plain(s.Name))
		case len(s.Differences) > 0:
			f.warn(what, "differs from the file, and the store counts: %s", plain(strings.Join(s.Differences, "; ")))
		default:
			f.ok(what, "is loaded as the file says")
		}
	}
}

// forwarders asks the running gateway for balancers that it does not trust: each is rate-
// limited as one client for all it forwards.
func (f *flight) forwarders() {
	var all admin.Forwarders
	if f.gateway == nil || !f.ask("/forwarders", &all) {
		return
	}
	for _, one := range all.Untrusted {
		f.fail("trusted_proxies", "%s forwards for many clients (last at %s) and is not in the list: if it is your balancer or CDN, add it there; else somebody forges X-Forwarded-For",
			plain(one.Peer), one.Last.Format(time.RFC3339))
	}
	if len(all.Untrusted) == 0 {
		f.ok("trusted_proxies", "nobody else forwards for many clients")
	}
}

func (f *flight) ask(path string, answer any) bool {
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	if err := f.gateway.ask(ctx, "GET", path, nil, answer); err != nil {
		f.fail("gateway", "%v", err)
		return false
	}
	return true
}

// forced compares pages that the file keeps against the shop's word, fetched twice: what
// differs is somebody's own and must not be shown to others.
func (f *flight) forced() {
	for _, r := range f.set.Routes {
		switch {
		case r.Cache == nil || !r.Cache.Force:
		case strings.Contains(r.Match.Path, "*"):
			f.warn("cache", "route %s keeps pages of %s by force: fetch one twice, without cookies, and see that both are the same", r.Name, r.Match.Path)
		default:
			f.differs(r.Match.Path)
		}
	}
}

func (f *flight) differs(path string) {
	a, err := f.probe(path)
	if err == nil {
		b, again := f.probe(path)
		if err = again; err == nil {
			if all := a.Differs(b); len(all) > 0 {
				f.warn("cache", "%s is not the same twice: what differs would be shown to everybody, take force: true away (%s)", path, strings.Join(all, "; "))
				return
			}
		}
	}
	if err != nil {
		f.warn("cache", "%s %v", path, err)
		return
	}
	f.ok("cache", "%s is the same twice", path)
}
