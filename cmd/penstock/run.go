package main

// The life of the process: start, reload on HUP, drain and leave on TERM or INT.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"reflect"
	"sync"
	"syscall"
	"time"

	"penstock/proxy/admin"
	"penstock/rules"
	"penstock/rules/config"
)

// startPatience bounds how long the store may take before we give up starting.
const startPatience = 10 * time.Second

// listeners are the sockets of one gateway.
type listeners struct{ proxy, admin, health net.Listener }

func run(file string, logTo io.Writer) error {
	set, err := config.Load(file)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	log := slog.New(slog.NewJSONHandler(logTo, nil))
	start, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	l, err := listen(set) // first: a start that fails must not have loaded stock
	if err != nil {
		return err
	}
	g, err := build(start, set, log)
	if err != nil {
		return err
	}
	return g.serve(file, l, signals)
}

func listen(set *rules.Set) (l listeners, err error) {
	open := func(addr string) net.Listener {
		if err != nil || addr == "" {
			return nil
		}
		var ln net.Listener
		if ln, err = net.Listen("tcp", addr); err != nil {
			err = fmt.Errorf("listen on %s: %w", addr, err)
		}
		return ln
	}
	l.proxy, l.admin, l.health = open(set.Listen), open(set.Admin.Listen), open(set.Health)
	return l, err
}

// serve runs until TERM or INT has drained it, or a listener fails.
func (g *gateway) serve(file string, l listeners, signals <-chan os.Signal) error {
	set := g.set.Load()
	failed := make(chan error, 3)
	background, stop := context.WithCancel(context.Background())
	var sweeps sync.WaitGroup
	if g.stock != nil {
		sweeps.Go(func() { g.stock.Run(background) })
	}
	sweeps.Go(func() { g.shedder.Run(background) })
	sweeps.Go(func() { g.keeper().run(background) })
	if set.TLS != nil {
		sweeps.Go(func() { g.tlsFiles().run(background) })
		for _, w := range config.CertificateWarnings(set.TLS, time.Now()) {
			g.log.Warn("certificate", "warning", w)
		}
	}
	front := g.proxy.Server(set)
	desk := admin.Server(admin.Handler(g.adminOptions()))
	probes := admin.Server(admin.Probes(g.isReady))
	go func() { failed <- ended("proxy", front.Serve(l.proxy)) }()
	go func() { failed <- ended("admin", desk.Serve(l.admin)) }()
	if l.health != nil {
		go func() { failed <- ended("health", probes.Serve(l.health)) }()
	}
	g.ready.Store(true)
	g.log.Info("listening", "proxy", l.proxy.Addr().String(), "admin", l.admin.Addr().String(), "file", file, "version", version())

	err := g.attend(file, signals, failed)
	g.ready.Store(false)
	if err == nil {
		g.drain(front, signals)
	}
	stop()
	sweeps.Wait()
	desk.Close()
	probes.Close()
	if g.store != nil {
		err = errors.Join(err, g.store.Close())
	}
	g.log.Info("stopped")
	return err
}

// ended explains why a listener is not served any more; nil if it was told to stop.
func ended(which string, err error) error {
	if err == nil || errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", which, err)
}

// attend answers signals until it is told to leave.
func (g *gateway) attend(file string, signals <-chan os.Signal, failed <-chan error) error {
	for {
		select {
		case err := <-failed:
			return errors.Join(errors.New("a listener stopped"), err)
		case s := <-signals:
			if s != syscall.SIGHUP {
				g.log.Info("leaving", "signal", s.String())
				return nil
			}
			g.reread(file)
		}
	}
}

// reread reads the file again. A file with faults changes nothing.
func (g *gateway) reread(file string) {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	set, err := config.Load(file)
	if err == nil {
		err = g.reload(ctx, set)
	}
	if err == nil {
		g.reloads.WithLabelValues("applied").Inc()
		g.log.Info("reloaded", "file", file, "sales", len(set.Sales), "routes", len(set.Routes))
		return
	}
	g.reloads.WithLabelValues("rejected").Inc()
	var faults config.Faults
	if !errors.As(err, &faults) {
		g.log.Error("reload rejected: the last good file stays in use", "file", file, "err", err)
		return
	}
	for _, f := range faults {
		g.log.Error("reload rejected: the last good file stays in use", "fault", f.String())
	}
}

// drain shows red first, goes on serving for the delay, then lets running requests
// end. A second TERM or INT skips what is left of the delay.
func (g *gateway) drain(front interface{ Shutdown(context.Context) error }, signals <-chan os.Signal) {
	set := g.set.Load()
	delay := time.NewTimer(set.Shutdown.Delay)
	defer delay.Stop()
	for red := true; red; {
		select {
		case <-delay.C:
			red = false
		case s := <-signals:
			red = s == syscall.SIGHUP
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), set.Shutdown.Timeout)
	defer cancel()
	if err := front.Shutdown(ctx); err != nil {
		g.log.Error("drain: some requests did not end in time", "err", err)
	}
}

// isReady reports what is missing before requests should be sent here.
func (g *gateway) isReady(ctx context.Context) error {
	if !g.ready.Load() {
		return errors.New("starting or draining")
	}
	return nil
}

// needsRestart names the first setting that a running process cannot change.
func needsRestart(old, next *rules.Set) error {
	for key, pair := range map[string][2]any{
		"listen":                   {old.Listen, next.Listen},
		"tls":                      {old.TLS != nil, next.TLS != nil}, // its files change at any time
		"client_ip.proxy_protocol": {old.ProxyProtocol, next.ProxyProtocol},
		"client":                   {old.Client, next.Client},
		"health":                   {old.Health, next.Health},
		"admin":                    {old.Admin, next.Admin},
		"store":                    {old.Store, next.Store},
		"secret_file":              {old.Secret, next.Secret},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			return fmt.Errorf("%s: this setting changes only with a restart", key)
		}
	}
	return nil
}
