package main

// What one gateway serves and does in the background, and how it stops doing so: on TERM,
// or because another process serves now. Nobody who is being answered is cut off before
// shutdown.timeout, and nothing is refused before that is nearly over.

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"penstock/proxy/admin"
	"penstock/rules/config"
)

// leastGrace is how long a connection may be silent before it is ended, where
// shutdown.delay is shorter. A client that asks more often than this loses nothing.
const leastGrace = time.Second

// refuseLast is the part of shutdown.timeout at whose end requests are refused.
const refuseLast = 10

// front is what stands before the customers.
type front interface {
	Serve(net.Listener) error
	Leave(grace time.Duration) // every answer says close; silent connections are ended
	Stay()                     // takes Leave back
	Asking() int               // connections that may ask for something
	Drain(context.Context) error
	Shutdown(context.Context) error
}

// life is a gateway that serves.
type life struct {
	*gateway
	file    string
	program program
	sockets *sockets
	signals <-chan os.Signal
	before  *predecessor
	halted  time.Time // since when the one before has not accepted; zero: it does, or there is none

	front        front
	desk, probes *http.Server
	asked        atomic.Int64 // requests of operators that may need the store
	upgrades     chan upgradeOrder
	newPid       int
	failed       chan error
	stopWork     func()
	keeping      func() // stops the keeper
}

// begin serves.
func (l *life) begin() {
	set := l.set.Load()
	l.failed, l.upgrades = make(chan error, 3), make(chan upgradeOrder)
	work := append(l.cheats.work(), l.shedder.Run, l.warmer.run)
	if l.stock != nil {
		work = append(work, l.stock.Run)
	}
	if set.TLS != nil {
		work = append(work, l.tlsFiles().run)
		for _, w := range config.CertificateWarnings(set.TLS, time.Now()) {
			l.log.Warn("certificate", "warning", w)
		}
	}
	l.stopWork = l.work(work...)
	l.keeping = l.work(l.keeper().run)
	l.front = l.proxy.Server(set)
	l.desk = admin.Server(l.counting(admin.Handler(l.adminOptions(l.upgradeAsked))))
	l.probes = admin.Server(admin.Probes(l.isReady))
	go func() { l.failed <- ended("proxy", l.front.Serve(l.sockets.proxy)) }()
	go func() { l.failed <- ended("admin", l.desk.Serve(l.sockets.admin)) }()
	if l.sockets.health != nil {
		go func() { l.failed <- ended("health", l.probes.Serve(l.sockets.health)) }()
	}
	if l.before != nil {
		l.warmer.looked.Store(true) // the one before was ready, and nobody is to see a change
	}
	l.ready.Store(true)
	line := []any{"proxy", l.sockets.proxy.Addr().String(), "admin", l.sockets.admin.Addr().String(), "file", l.file, "version", version(), "pid", os.Getpid()}
	if !l.halted.IsZero() {
		line = append(line, "paused_ms", time.Since(l.halted).Milliseconds())
	}
	l.log.Info("listening", line...)
	if l.before == nil {
		l.tell("READY=1")
	}
	l.before.ready() // and the old one tells the supervisor
}

// work runs these until what it returns is called, which waits for them.
func (l *life) work(all ...func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, f := range all {
		wg.Go(func() { f(ctx) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// counting counts what operators ask, but for the upgrade itself, which outlives the store.
func (l *life) counting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/upgrade") {
			l.asked.Add(1)
			defer l.asked.Add(-1)
		}
		h.ServeHTTP(w, r)
	})
}

// grace is how long connections may be silent while the gateway leaves.
func (l *life) grace() time.Duration { return max(leastGrace, l.set.Load().Shutdown.Delay) }

// drain shows red first and goes on serving for the delay, every answer being the last of
// its connection; then it stops accepting, and lets running requests end. A second TERM or
// INT skips what is left of the delay.
func (l *life) drain() {
	set := l.set.Load()
	l.front.Leave(l.grace())
	delay := time.NewTimer(set.Shutdown.Delay)
	defer delay.Stop()
	for red := true; red; {
		select {
		case <-delay.C:
			red = false
		case s := <-l.signals:
			red = !ends(s)
		}
	}
	l.sockets.proxy.halt() // so that what was accepted last is known
	l.sockets.proxy.Close()
	l.drainRest()
}

// drainRest lets requests end that are still under way. Nothing is accepted any more.
func (l *life) drainRest() {
	timeout := l.set.Load().Shutdown.Timeout
	all, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	most, stop := context.WithTimeout(all, timeout-timeout/refuseLast)
	defer stop()
	l.front.Drain(most) // what it leaves, Shutdown finds
	if err := l.front.Shutdown(all); err != nil {
		l.log.Error("drain: some requests did not end in time", "err", err)
	}
	l.desk.Shutdown(all)
	l.probes.Shutdown(all)
}

// close ends what is left.
func (l *life) close() (err error) {
	l.stopWork()
	l.keeping()
	l.desk.Close()
	l.probes.Close()
	err = l.cheats.close()
	if l.store != nil {
		err = errors.Join(err, l.store.Close())
	}
	l.log.Info("stopped")
	return err
}
