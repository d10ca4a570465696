package main

// Handing over to a new process of this program, on USR2 or `penstock upgrade`.
//
// Where the new one needs nothing of ours it comes first: it serves beside us, on the same
// sockets, then we stop accepting and drain. An embedded store is open in one process at a
// time: there the new one loads what it can and waits; we make our connections short,
// stop accepting, see everybody through who may need the store, close it, and let the new
// one open it, while who comes meanwhile waits in the sockets' queues. Requests that are no
// sale's may go on in the old process, whatever they take.
//
// Until the new one serves, any trouble with it leaves the old one in charge. What is only
// in memory is lost as in a restart: rates, latches, who browsed. It does not watch the new
// process any more once that has served.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// askingLook is how often we look whether somebody may still need the store.
const askingLook = 2 * time.Millisecond

// errLeaving: TERM or INT came while the hand-over was under way.
var errLeaving = errors.New("told to leave")

// ends reports whether a signal asks the process to end.
func ends(s os.Signal) bool { return s == syscall.SIGTERM || s == syscall.SIGINT }

// handOver tries it. goesOn with an error: nothing has changed. by is for the log.
func (l *life) handOver(by ...any) (ending, error) {
	l.log.Info("handing over", append(by, "program", l.program.path)...)
	l.tell(reloading()...)
	hungUp := false // HUP came: for whoever serves in the end
	end, next, err := l.tryHandOver(&hungUp)
	if err == nil {
		l.newPid = next.cmd.Process.Pid
		l.log.Info("handed over", "pid", l.newPid)
		l.tell("MAINPID="+strconv.Itoa(l.newPid), "READY=1")
		if hungUp {
			next.cmd.Process.Signal(syscall.SIGHUP) // it may have ended
		}
		return handedOver, nil
	}
	if next != nil {
		next.dismiss()
	}
	leaving := errors.Is(err, errLeaving)
	if end == restarts && !leaving {
		l.log.Error("the hand-over failed, with the store closed already", "err", err)
		return restarts, err
	}
	if end != restarts {
		l.goOn()
		l.tell("READY=1")
	}
	if leaving {
		l.log.Info("leaving", "signal", "during a hand-over")
		return leaves, err
	}
	l.log.Error("the hand-over failed: this process goes on", "err", err)
	if hungUp {
		l.reread(l.file)
	}
	return goesOn, err
}

// goOn is the gateway as it was before.
func (l *life) goOn() {
	l.front.Stay()
	l.desk.SetKeepAlivesEnabled(true)
	for _, s := range l.sockets.all() {
		s.resume()
	}
	l.memory.Resume()
	l.keeping = l.work(l.keeper().run)
}

func (l *life) tryHandOver(hungUp *bool) (end ending, next *successor, err error) {
	l.keeping() // it writes once more, for the new process to read
	if err := l.memory.Yield(); err != nil {
		return goesOn, nil, err
	}
	if next, err = l.program.succeed(l.sockets); err != nil {
		return goesOn, nil, err
	}
	state, err := l.await(next, hungUp)
	if err != nil {
		return goesOn, next, err
	}
	if state == statePrepared {
		l.log.Info("the new process waits for the store", "pid", next.cmd.Process.Pid)
		if end, err = l.giveStore(next, hungUp); err != nil {
			return end, next, err
		}
	}
	for _, s := range l.sockets.all() {
		s.halt()
	}
	l.front.Leave(l.grace())
	return handedOver, next, nil
}

// await waits for a report of the new process, for as long as that may take. Signals that
// cannot be acted on now are kept, or said to be of no use.
func (l *life) await(next *successor, hungUp *bool) (state string, err error) {
	late := time.NewTimer(readyWithin)
	defer late.Stop()
	for {
		select {
		case r, open := <-next.reports:
			return next.came(r, open)
		case <-late.C:
			return "", fmt.Errorf("the new process is not ready after %v", readyWithin)
		case s := <-l.signals:
			if l.during(s, hungUp) {
				return "", errLeaving
			}
		}
	}
}

// during is a signal while a hand-over is under way. It reports whether we are to leave.
func (l *life) during(s os.Signal, hungUp *bool) bool {
	switch s {
	case syscall.SIGHUP:
		*hungUp = true
	case syscall.SIGUSR2:
		l.log.Warn("a hand-over is under way already")
	}
	return ends(s)
}

// giveStore gives the store to a process that is prepared, and waits until it serves. From
// the moment the store is closed a failure means restarts.
func (l *life) giveStore(next *successor, hungUp *bool) (ending, error) {
	l.front.Leave(l.grace()) // still accepting: so few are left to wait for
	if err := l.waitFor(next, hungUp, l.grace(), nil); err != nil {
		return goesOn, err
	}
	halted := time.Now()
	l.sockets.proxy.halt()
	l.sockets.admin.halt()
	l.desk.SetKeepAlivesEnabled(false)
	timeout := l.set.Load().Shutdown.Timeout
	err := l.waitFor(next, hungUp, timeout, func() bool { return l.census.asking(l.front.Asking) == 0 && l.asked.Load() == 0 })
	if err != nil {
		return goesOn, err
	}
	l.stopWork()
	if l.store != nil {
		if err := l.store.Close(); err != nil {
			return restarts, fmt.Errorf("close the store: %w", err)
		}
	}
	if err := next.proceed(halted); err != nil {
		return restarts, err
	}
	state, err := l.await(next, hungUp)
	if err == nil && state != stateReady {
		err = fmt.Errorf("the new process is %s a second time", state)
	}
	if err != nil {
		return restarts, err
	}
	l.log.Info("the store is given over", "paused_ms", time.Since(halted).Milliseconds())
	return handedOver, nil
}

// waitFor waits until quiet, and without quiet for all of the time. It ends early where
// the new process has, or we are to leave; that it was not quiet in time is an error.
func (l *life) waitFor(next *successor, hungUp *bool, d time.Duration, quiet func() bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	look := time.NewTicker(askingLook)
	defer look.Stop()
	for quiet == nil || !quiet() {
		select {
		case <-ctx.Done():
			if quiet == nil {
				return nil
			}
			return fmt.Errorf("some requests did not end within shutdown.timeout (%v)", d)
		case r, open := <-next.reports:
			if _, err := next.came(r, open); err != nil {
				return err
			}
			return errors.New("the new process did not wait for the store")
		case s := <-l.signals:
			if l.during(s, hungUp) {
				return errLeaving
			}
		case <-look.C:
		}
	}
	return nil
}
