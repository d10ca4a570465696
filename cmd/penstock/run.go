package main

// The life of the process: start, reload on HUP, hand over on USR2, drain and leave on
// TERM or INT.

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
	"syscall"
	"time"

	"penstock/rules"
	"penstock/rules/config"
)

// startPatience bounds how long the store may take before we give up starting.
const startPatience = 10 * time.Second

func run(file string, logTo io.Writer) (err error) {
	// First, so that no signal ends a process that is on its way.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR2)
	defer signal.Stop(signals)
	self, err := thisProgram()
	if err != nil {
		return err
	}
	before, err := inherited()
	defer func() { before.fail(err) }()
	if err != nil {
		return err
	}
	set, err := config.Load(file)
	if err != nil {
		return err
	}
	l, err := socketsFor(set, before)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(logTo, nil))
	var halted time.Time
	if before != nil && set.Store.Embedded != "" {
		if halted, err = before.await(signals); err != nil {
			return err
		}
	}
	for {
		again, err := live(&life{file: file, program: self, sockets: l, signals: signals, before: before, halted: halted}, set, log)
		if again == nil {
			return err
		}
		log.Error("starting again after a hand-over that failed", "err", err)
		set, l, before, halted = again, l.again(), nil, time.Time{}
	}
}

// socketsFor comes first: a start that fails must not have loaded stock.
func socketsFor(set *rules.Set, before *predecessor) (*sockets, error) {
	if before != nil {
		return open(set, before.given, false)
	}
	from, err := activated()
	if err != nil {
		return nil, err
	}
	return open(set, from, true)
}

// live runs a gateway until it leaves. With rules, and why, it answers that the store has
// been given away in vain: the same gateway must start again.
func live(l *life, set *rules.Set, log *slog.Logger) (again *rules.Set, err error) {
	start, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	if l.gateway, err = build(start, set, log); err != nil {
		return nil, err
	}
	l.begin()
	switch end, err := l.attend(); end {
	case listenerFailed:
		return nil, errors.Join(err, l.close())
	case restarts:
		for _, s := range l.sockets.all() {
			s.leave()
		}
		go func() {
			l.drainRest() // of what needs no store
			l.cheats.close()
		}()
		return l.set.Load(), err
	case handedOver:
		l.drainRest()
		return nil, l.close()
	default:
		l.tell("STOPPING=1")
		l.ready.Store(false)
		l.drain()
		return nil, l.close()
	}
}

// ending is why a gateway does not go on.
type ending int

const (
	goesOn ending = iota
	leaves
	listenerFailed
	handedOver
	restarts
)

// ended explains why a listener is not served any more; nil if it was told to stop.
func ended(which string, err error) error {
	if err == nil || errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", which, err)
}

// attend answers signals and operators until the gateway is to end.
func (l *life) attend() (ending, error) {
	for {
		select {
		case err := <-l.failed:
			return listenerFailed, errors.Join(errors.New("a listener stopped"), err)
		case order := <-l.upgrades:
			end, err := l.handOver("by", order.by, "why", order.why)
			order.done <- upgraded{l.newPid, err}
			if end != goesOn {
				return end, err
			}
		case s := <-l.signals:
			switch s {
			case syscall.SIGHUP:
				l.reread(l.file)
			case syscall.SIGUSR2:
				if end, err := l.handOver("signal", s.String()); end != goesOn {
					return end, err
				}
			default:
				l.log.Info("leaving", "signal", s.String())
				return leaves, nil
			}
		}
	}
}

// reread reads the file again. A file with faults changes nothing.
func (g *gateway) reread(file string) {
	g.tell(reloading()...)
	defer g.tell("READY=1")
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

// isReady reports what is missing before requests should be sent here.
func (g *gateway) isReady(ctx context.Context) error {
	if !g.ready.Load() {
		return errors.New("starting or draining")
	}
	if err := g.cheats.hasRead(); err != nil {
		return err
	}
	return g.warmer.ready()
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
			return fmt.Errorf("%s: this setting changes only with a restart or an upgrade", key)
		}
	}
	return nil
}
