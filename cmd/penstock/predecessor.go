package main

// The new process's side of a hand-over: it has been started by the gateway that serves,
// with that one's sockets and two pipes, and says how far it has come. Until it has said
// that it serves, the old one goes on if this one ends.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// handoverVariable holds a handover, as JSON.
const handoverVariable = "PENSTOCK_HANDOVER"

// handover says what the inherited descriptors are: the sockets, in this order from
// descriptor 3, then the pipe to the old process, then the one from it.
type handover struct {
	Sockets []handedSocket
}

type handedSocket struct{ Name, Listen string }

// mostHanded bounds what is believed of it.
const mostHanded = 8

// progress is one line to the old process.
type progress struct {
	State string // prepared: it needs the store that the old one has open; ready: it serves; failed
	Why   string `json:",omitempty"`
}

const (
	statePrepared = "prepared"
	stateReady    = "ready"
	stateFailed   = "failed"
)

// predecessor is the process before this one; nil: there is none. Its methods do nothing
// then.
type predecessor struct {
	up, down *os.File
	given    []given
}

// inherited finds out whether this process shall take over from another.
func inherited() (*predecessor, error) {
	text, there := os.LookupEnv(handoverVariable)
	if !there {
		return nil, nil
	}
	os.Unsetenv(handoverVariable)
	h, err := readHandover(text)
	if err != nil {
		return nil, err
	}
	next := firstActivated + len(h.Sockets)
	for _, fd := range []int{next, next + 1} {
		var about syscall.Stat_t
		if err := syscall.Fstat(fd, &about); err != nil || about.Mode&syscall.S_IFMT != syscall.S_IFIFO {
			return nil, fmt.Errorf("%s: descriptor %d is no pipe", handoverVariable, fd)
		}
		syscall.CloseOnExec(fd)
	}
	p := &predecessor{up: os.NewFile(uintptr(next), "to the old process"), down: os.NewFile(uintptr(next+1), "from the old process")}
	for i, s := range h.Sockets {
		l, err := take(firstActivated+i, s.Name)
		if err != nil {
			return p, err
		}
		p.given = append(p.given, given{TCPListener: l, name: s.Name, listen: s.Listen})
	}
	return p, nil
}

func readHandover(text string) (h handover, err error) {
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return h, fmt.Errorf("%s: %w", handoverVariable, err)
	}
	if len(h.Sockets) > mostHanded {
		return h, fmt.Errorf("%s: %d sockets", handoverVariable, len(h.Sockets))
	}
	for _, s := range h.Sockets {
		if s.Name == "" || s.Listen == "" {
			return h, fmt.Errorf("%s: a socket without a name or an address", handoverVariable)
		}
	}
	return h, nil
}

// say reports. That the old process is gone is found out elsewhere.
func (p *predecessor) say(r progress) {
	if p == nil {
		return
	}
	line, _ := json.Marshal(r)
	p.up.Write(append(line, '\n'))
}

// ready says that this process serves, and is done with the old one.
func (p *predecessor) ready() {
	if p != nil {
		p.say(progress{State: stateReady})
		p.up.Close()
		p.down.Close()
	}
}

// fail says why this process will not serve.
func (p *predecessor) fail(err error) {
	if p != nil && err != nil {
		p.say(progress{State: stateFailed, Why: err.Error()})
	}
}

var errToldToLeave = errors.New("told to leave before it served")

// await says that all is prepared but for the store, and waits for the old process to give
// that up, or to end. It answers since when the old one has not accepted; the zero Time if
// that is not known.
func (p *predecessor) await(signals <-chan os.Signal) (halted time.Time, err error) {
	p.say(progress{State: statePrepared})
	word := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(io.LimitReader(p.down, 64)).ReadString('\n')
		word <- line
	}()
	for {
		select {
		case line := <-word:
			nanos, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
			if err != nil {
				return time.Time{}, nil // it has ended, and the store is free
			}
			return time.Unix(0, nanos), nil
		case s := <-signals:
			if s == syscall.SIGTERM || s == syscall.SIGINT {
				return time.Time{}, errToldToLeave
			}
		}
	}
}
