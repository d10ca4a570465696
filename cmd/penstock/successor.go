package main

// The old process's side of a hand-over: the new process, started from the file that is at
// the program's path now, with the same arguments, our sockets and two pipes.
//
// The sockets are passed on as they are, so what waits in their queues is not lost, and the
// new process has no descriptor of ours but these.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The new process has readyWithin to load the file and the stock, or else it is ended, for
// which it has endsWithin.
const (
	readyWithin = 2 * startPatience
	endsWithin  = 2 * time.Second
)

// program is what this process was started as.
type program struct {
	path string
	args []string
}

// thisProgram must be asked at the start: the path is to name what will be there later.
// It is what was typed where that is this file, because links are switched to new versions.
func thisProgram() (program, error) {
	self, err := os.Executable()
	if err != nil {
		return program{}, fmt.Errorf("find own program: %w", err)
	}
	p := program{self, os.Args}
	typed := os.Args[0]
	if !strings.ContainsRune(typed, filepath.Separator) {
		if typed, err = exec.LookPath(typed); err != nil {
			return p, nil
		}
	}
	if typed, err = filepath.Abs(typed); err != nil {
		return p, nil
	}
	a, errA := os.Stat(typed)
	b, errB := os.Stat(self)
	if errA == nil && errB == nil && os.SameFile(a, b) {
		p.path = typed
	}
	return p, nil
}

// successor is the new process.
type successor struct {
	cmd     *exec.Cmd
	down    *os.File
	reports chan progress // closed after the last
	exited  chan struct{} // closed
}

// succeed starts it.
func (p program) succeed(l *sockets) (s *successor, err error) {
	up, theirUp, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	theirDown, down, err := os.Pipe()
	if err != nil {
		up.Close()
		theirUp.Close()
		return nil, err
	}
	defer func() {
		theirUp.Close()
		theirDown.Close()
		if err != nil {
			up.Close()
			down.Close()
		}
	}()
	cmd := exec.Command(p.path)
	cmd.Args, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.args, os.Stdin, os.Stdout, os.Stderr
	var h handover
	for _, socket := range l.all() {
		f, err := socket.duplicate()
		if err != nil {
			return nil, fmt.Errorf("hand over socket %q: %w", socket.name, err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		h.Sockets = append(h.Sockets, handedSocket{socket.name, socket.listen})
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirUp, theirDown)
	text, _ := json.Marshal(h)
	cmd.Env = append(os.Environ(), handoverVariable+"="+string(text))
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the new process: %w", err)
	}
	s = &successor{cmd: cmd, down: down, reports: make(chan progress, 4), exited: make(chan struct{})}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		s.listen(up)
	}()
	go func() {
		cmd.Wait() // how it ended is in ProcessState
		<-heard
		close(s.exited)
	}()
	return s, nil
}

// mostReport bounds one line: a file may have many faults.
const mostReport = 1 << 20

func (s *successor) listen(up *os.File) {
	defer up.Close()
	defer close(s.reports)
	lines := bufio.NewScanner(up)
	lines.Buffer(nil, mostReport)
	for lines.Scan() {
		var r progress
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			return
		}
		select {
		case s.reports <- r:
		default: // nobody has so much to say
		}
	}
	io.Copy(io.Discard, up) // a line too long must not stop it
}

// came is what a report means for the old process.
func (s *successor) came(r progress, open bool) (state string, err error) {
	switch {
	case !open:
		return "", errors.New("the new process ended before it was ready" + s.how())
	case r.State == stateFailed:
		return "", fmt.Errorf("the new process: %s", r.Why)
	case r.State == statePrepared || r.State == stateReady:
		return r.State, nil
	}
	return "", fmt.Errorf("the new process speaks of %q", r.State)
}

func (s *successor) how() string {
	wait := time.NewTimer(endsWithin)
	defer wait.Stop()
	select {
	case <-s.exited:
		return " (" + s.cmd.ProcessState.String() + "): its last words are in the log"
	case <-wait.C:
		return ""
	}
}

// proceed tells it that the store is free, and since when nothing has been accepted.
func (s *successor) proceed(halted time.Time) error {
	if _, err := fmt.Fprintln(s.down, halted.UnixNano()); err != nil {
		return fmt.Errorf("tell the new process to go on: %w", err)
	}
	return nil
}

// dismiss ends it, and waits until it is gone.
func (s *successor) dismiss() {
	defer s.down.Close()                  // not before: it would take that for the word to go on
	s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	wait := time.NewTimer(endsWithin)
	defer wait.Stop()
	select {
	case <-s.exited:
	case <-wait.C:
		s.cmd.Process.Kill()
		<-s.exited
	}
}
