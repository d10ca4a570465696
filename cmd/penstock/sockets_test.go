package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"penstock/rules"
)

// accepted is a socket whose accept loop tells of every connection, and closes it.
func accepted(t *testing.T) (s *socket, conns chan net.Conn, over chan error) {
	t.Helper()
	s = &socket{TCPListener: listenAnywhere(t), name: "proxy", listen: "127.0.0.1:0"}
	conns, over = make(chan net.Conn, 16), make(chan error, 1)
	go acceptAll(s, conns, over)
	return s, conns, over
}

func acceptAll(s *socket, conns chan net.Conn, over chan error) {
	for {
		c, err := s.Accept()
		if err != nil {
			over <- err
			return
		}
		c.Close()
		conns <- c
	}
}

func knock(t *testing.T, s *socket) {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.Addr().String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
}

// comes waits for a connection to be accepted.
func comes(t *testing.T, conns chan net.Conn) {
	t.Helper()
	select {
	case <-conns:
	case <-time.After(10 * time.Second):
		t.Fatal("a connection was not accepted")
	}
}

func TestAHaltedSocketKeepsItsQueue(t *testing.T) {
	s, conns, over := accepted(t)
	knock(t, s)
	comes(t, conns)
	for range 3 {
		s.halt()
		s.halt() // once is enough
		s.mu.Lock()
		if s.parked != nil {
			t.Error("halt returned while the loop accepts")
		}
		s.mu.Unlock()
		knock(t, s)
		if n := len(conns); n != 0 {
			t.Fatalf("%d connections were accepted while halted", n)
		}
		s.resume()
		s.resume()
		comes(t, conns) // the one that waited
		knock(t, s)
		comes(t, conns)
	}
	s.halt()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-over; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the loop ended with %v, want that it is closed", err)
	}
	s.halt() // nobody is left to wait for
}

// TestALeftSocketIsOpenForAnother: the loop ends, a second one goes on, and who waited is
// served.
func TestALeftSocketIsOpenForAnother(t *testing.T) {
	first, conns, over := accepted(t)
	again := (&sockets{proxy: first, admin: first}).again()
	if err := <-over; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the loop ended with %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	second := again.proxy
	knock(t, second)
	go acceptAll(second, conns, over)
	comes(t, conns)
	if second.name != "proxy" || second.listen != "127.0.0.1:0" || again.health != nil {
		t.Errorf("got %+v", again)
	}
	second.Close()
	<-over
}

// TestASocketThatWasHandedOnCanBeHalted: a process that has it open must not make it block
// for us.
func TestASocketThatWasHandedOnCanBeHalted(t *testing.T) {
	s, conns, over := accepted(t)
	f, err := s.duplicate()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("true")
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	knock(t, s)
	comes(t, conns) // and now it waits for the next, if it ever could
	s.halt()
	s.mu.Lock()
	halted := s.parked == nil
	s.mu.Unlock()
	if !halted {
		knock(t, s) // which frees it
		t.Error("the accept loop cannot be halted any more")
	}
	s.Close()
	knocked, err := net.Dial("tcp", s.Addr().String())
	if err == nil {
		knocked.Close()
		t.Error("the socket is still open")
	}
	<-over
}

func TestWhichSocketIsForWhichKey(t *testing.T) {
	at := func(addr string) *net.TCPListener {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.(*net.TCPListener)
	}
	here, everywhere := at("127.0.0.1:0"), at(":0")
	port := func(l *net.TCPListener) string {
		_, p, _ := net.SplitHostPort(l.Addr().String())
		return p
	}
	for _, c := range []struct {
		l           *net.TCPListener
		name, told  string
		key, listen string
		want        bool
	}{
		{here, "penstock.socket", "", "proxy", "127.0.0.1:" + port(here), true},
		{here, "", "", "admin", "localhost:" + port(here), true},
		{here, "proxy", "", "proxy", "127.0.0.1:" + port(here), true},
		{here, "admin", "", "proxy", "127.0.0.1:" + port(here), false}, // a name binds
		{here, "proxy", "", "proxy", ":" + port(here), false},          // and so does the address
		{here, "proxy", "", "proxy", "127.0.0.2:" + port(here), false},
		{here, "", "", "proxy", "127.0.0.1:1", false},
		{here, "proxy", "", "proxy", "127.0.0.1:0", true},
		{here, "", "", "proxy", "127.0.0.1:0", false}, // any port, and anybody's socket
		{everywhere, "", "", "proxy", ":" + port(everywhere), true},
		{everywhere, "", "", "proxy", "0.0.0.0:" + port(everywhere), true},
		{everywhere, "", "", "admin", "127.0.0.1:" + port(everywhere), false}, // it is open to more than that
		{here, "proxy", "127.0.0.1:0", "proxy", "127.0.0.1:0", true},
		{here, "proxy", "127.0.0.1:0", "proxy", "127.0.0.1:" + port(here), false},
		{here, "proxy", "127.0.0.1:0", "admin", "127.0.0.1:0", false},
	} {
		g := given{TCPListener: c.l, name: c.name, listen: c.told}
		if got := g.fits(c.key, c.listen); got != c.want {
			t.Errorf("socket %q at %s, opened for %q: for %s %s: %v, want %v", c.name, c.l.Addr(), c.told, c.key, c.listen, got, c.want)
		}
	}
}

// TestOpenTakesWhatIsGivenAndOpensTheRest, and leaves nothing open where it fails.
func TestOpenTakesWhatIsGivenAndOpensTheRest(t *testing.T) {
	set := &rules.Set{Listen: "127.0.0.1:0", Admin: rules.Admin{Listen: "127.0.0.1:0"}}
	proxy := listenAnywhere(t)
	l, err := open(set, []given{{proxy, "proxy", ""}}, true)
	if err != nil || l.proxy.TCPListener != proxy || l.admin == nil || l.health != nil {
		t.Fatalf("got %+v and %v", l, err)
	}
	l.admin.Close()

	stranger := listenAnywhere(t)
	_, err = open(set, []given{{proxy, "proxy", ""}, {stranger, "web", ""}}, true)
	if want := `socket "web" at ` + stranger.Addr().String(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a socket for nobody: got %v, want %q", err, want)
	}
	for _, l := range []*net.TCPListener{proxy, stranger} {
		if _, err := l.AcceptTCP(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s is still open", l.Addr())
		}
	}

	dropped := listenAnywhere(t) // of the process before, whose file was another
	l, err = open(set, []given{{dropped, "health", "127.0.0.1:0"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	l.proxy.Close()
	l.admin.Close()
	if _, err := dropped.AcceptTCP(); !errors.Is(err, net.ErrClosed) {
		t.Error("a socket that nobody asks for any more is still open")
	}
}

// FuzzHandover: what stands in the variable is read or refused, and never believed beyond
// its bounds.
func FuzzHandover(f *testing.F) {
	f.Add(`{"Sockets":[{"Name":"proxy","Listen":":8080"}]}`)
	f.Add(`{"Sockets":[{"Name":"","Listen":""}]}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		h, err := readHandover(text)
		if err == nil && len(h.Sockets) > mostHanded {
			t.Errorf("%q: %d sockets", text, len(h.Sockets))
		}
		for _, s := range h.Sockets {
			if err == nil && (s.Name == "" || s.Listen == "") {
				t.Errorf("%q: %+v", text, s)
			}
		}
	})
}
