package rehearse

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// echo answers every line with itself, like a very plain Redis.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

type wire struct {
	net.Conn
	in *bufio.Reader
}

func through(t *testing.T, l *link) *wire {
	t.Helper()
	c, err := net.Dial("tcp", l.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &wire{c, bufio.NewReader(c)}
}

// says sends a line and waits for it to come back.
func (c *wire) says(s string) error {
	if _, err := io.WriteString(c, s+"\n"); err != nil {
		return err
	}
	got, err := c.in.ReadString('\n')
	if err == nil && got != s+"\n" {
		return errors.New("came back as " + got)
	}
	return err
}

func TestLink(t *testing.T) {
	l, err := openLink(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	c := through(t, l)
	if err := c.says("one"); err != nil {
		t.Fatal(err)
	}

	const late = 30 * time.Millisecond
	l.become(sound, late)
	began := time.Now()
	if err := c.says("two"); err != nil || time.Since(began) < late {
		t.Errorf("slow: %v after %v, want it no sooner than %v", err, time.Since(began), late)
	}
	for _, s := range []string{"a", "b", "c"} { // much under way at once keeps its order
		io.WriteString(c, s+"\n")
	}
	for _, want := range []string{"a\n", "b\n", "c\n"} {
		if got, err := c.in.ReadString('\n'); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}

	l.become(mute, 0)
	io.WriteString(c, "lost\n")
	l.become(sound, 0) // what has lost something ends
	if _, err := c.in.ReadString('\n'); err == nil {
		t.Error("a connection that was mute goes on")
	}
	c = through(t, l)
	if err := c.says("three"); err != nil {
		t.Errorf("after mute: %v", err)
	}

	l.become(cut, 0)
	if err := c.says("four"); err == nil {
		t.Error("cut: an old connection works")
	}
	if err := through(t, l).says("five"); err == nil {
		t.Error("cut: a new connection works")
	}
	l.become(sound, 0)
	if err := through(t, l).says("six"); err != nil {
		t.Errorf("healed: %v", err)
	}
}
