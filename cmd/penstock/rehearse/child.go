package rehearse

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Processes that a rehearsal starts, and ends.

const (
	startsWithin = 15 * time.Second
	endsWithin   = 8 * time.Second
	lastWords    = 12 // lines that are shown when a process does not start
)

type child struct {
	name string
	cmd  *exec.Cmd
	gone chan struct{}

	mu    sync.Mutex
	lines []string // the last ones it has printed
}

// spawn starts a process and waits until it prints what the pattern matches, whose groups
// are the answer.
func spawn(ctx context.Context, pattern, path string, args ...string) (*child, []string, error) {
	c := &child{name: path[strings.LastIndexByte(path, '/')+1:], cmd: exec.Command(path, args...), gone: make(chan struct{})}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is ours to pass on
	r, w := io.Pipe()
	c.cmd.Stdout, c.cmd.Stderr = w, w
	if err := c.cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	said := make(chan []string, 1)
	go c.listen(r, regexp.MustCompile(pattern), said)
	go func() {
		c.cmd.Wait() // it is known by its words
		w.Close()
		close(c.gone)
	}()
	late := time.NewTimer(startsWithin)
	defer late.Stop()
	var why string
	select {
	case found := <-said:
		return c, found, nil
	case <-c.gone:
		why = "it has ended"
	case <-late.C:
		why = fmt.Sprintf("it is not ready after %v", startsWithin)
	case <-ctx.Done():
		why = "interrupted"
	}
	c.stop()
	return nil, nil, fmt.Errorf("start %s: %s; its last words:\n%s", c.name, why, c.last())
}

func (c *child) listen(r io.Reader, pattern *regexp.Regexp, said chan<- []string) {
	for in := bufio.NewReader(r); ; {
		line, err := in.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			c.mu.Lock()
			c.lines = append(c.lines, line)
			c.lines = c.lines[max(0, len(c.lines)-lastWords):]
			c.mu.Unlock()
			if found := pattern.FindStringSubmatch(line); found != nil {
				select {
				case said <- found:
				default:
				}
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *child) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines, "\n")
}

// stop asks the process to end, and ends it if it does not.
func (c *child) stop() {
	c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	late := time.NewTimer(endsWithin)
	defer late.Stop()
	select {
	case <-c.gone:
	case <-late.C:
		c.cmd.Process.Kill()
		<-c.gone
	}
}
