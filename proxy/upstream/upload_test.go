package upstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
)

// pattern is n bytes that are not all alike.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i % 251)
	}
	return p
}

// Bodies of every kind arrive as they are, and the connection is used again.
func TestBodies(t *testing.T) { everyWire(t, bodies) }

func bodies(t *testing.T, c *tls.Config) {
	o := serveOver(t, c, func(p *peer) {
		for {
			_, body, ok := p.next()
			if !ok {
				return
			}
			p.ok(fmt.Sprintf("%x", sha256.Sum256([]byte(body))))
		}
	})
	u := reach(t, o, nil)
	for _, n := range []int{0, 1, 15, 16, piece - 1, piece, piece + 1, inline, inline + 1, 3*piece + 7, 5 << 20} {
		body := pattern(n)
		want := fmt.Sprintf("%x", sha256.Sum256(body))
		whole := &Request{
			Head: fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n", n), Length: int64(n),
			Body: io.MultiReader(iotest.HalfReader(bytes.NewReader(body)), strings.NewReader("never read")),
		}
		for name, r := range map[string]*Request{"length": whole, "chunked": stream("/", iotest.HalfReader(bytes.NewReader(body)))} {
			if status, sum, err := carry(u, r); status != 200 || sum != want || err != nil {
				t.Errorf("%s %d: got %d, %s, %v", name, n, status, sum, err)
			}
		}
	}
	if n := o.dialled(); n != 1 {
		t.Errorf("%d connections for bodies that were all sent and answered, want 1", n)
	}
}

// endless is a body that never ends and says how much of it was read.
type endless struct{ read *int }

func (e endless) Read(p []byte) (int, error) {
	*e.read += len(p)
	return len(p), nil
}

// An origin refuses an upload half way: its answer counts, and the rest is not sent.
func TestEarlyAnswer(t *testing.T) { everyWire(t, earlyAnswer) }

func earlyAnswer(t *testing.T, c *tls.Config) {
	const size = 16 << 20
	ways := map[string]func(*peer){
		"and closes":          func(p *peer) {},
		"and resets":          func(p *peer) { p.CloseWrite(); p.reset() },
		"and stops reading":   func(p *peer) { <-p.o.stopped },
		"and reads on":        func(p *peer) { io.Copy(io.Discard, p.br) },
		"after an interim":    nil,
		"and hangs up for us": func(p *peer) { p.CloseWrite(); io.Copy(io.Discard, p.br) },
	}
	for name, then := range ways {
		t.Run(name, func(t *testing.T) {
			o := serveOver(t, c, func(p *peer) {
				io.ReadFull(p.br, make([]byte, 1000))
				if then == nil {
					p.say("HTTP/1.1 100 Continue\r\n\r\n")
					io.ReadFull(p.br, make([]byte, 1<<20))
					p.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
					return
				}
				p.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
				then(p)
			})
			u := reach(t, o, nil)
			read := 0
			r := &Request{Head: fmt.Appendf(nil, "POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n", size), Body: endless{&read}, Length: size}
			status, body, err := carry(u, r)
			if status != 413 || body != "big" || err != nil {
				t.Errorf("got %d, %q, %v; want 413", status, body, err)
			}
			if read >= size {
				t.Errorf("the whole body was read for an origin that did not want it")
			}
			if u.idle.size() != 0 {
				t.Error("the connection is kept")
			}
		})
	}
}

// A body that fails is never made to look whole, and the fault is the client's.
func TestClientFails(t *testing.T) {
	const size = 1 << 20
	broken := errors.New("client broke off")
	bodies := map[string]func() io.Reader{
		"breaks off": func() io.Reader {
			return io.MultiReader(bytes.NewReader(pattern(size/2)), iotest.ErrReader(broken))
		},
		"ends early": func() io.Reader { return bytes.NewReader(pattern(size / 2)) },
	}
	for name, body := range bodies {
		for _, chunked := range []bool{false, true} {
			if chunked && name == "ends early" {
				continue // that is how a chunked body ends
			}
			t.Run(fmt.Sprintf("%s/chunked %v", name, chunked), func(t *testing.T) {
				o := serve(t, func(p *peer) { p.next() })
				u := reach(t, o, nil)
				r := stream("/order", body())
				if !chunked {
					r = &Request{Head: fmt.Appendf(nil, "POST /order HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n", size), Body: body(), Length: size}
				}
				e, err := u.Do(context.Background(), r)
				if e != nil || ended(err) != OpBody || Unsent(err) || errors.Is(err, io.EOF) {
					t.Errorf("got %v, %v; want %s, sent", e, err, OpBody)
				}
				o.stop()
				if n := o.delivered("/order"); n != 0 {
					t.Errorf("half a request was delivered as a whole one")
				}
			})
		}
	}
}

// A panic in the caller's body leaves neither the connection nor a goroutine behind.
func TestBodyPanics(t *testing.T) {
	hungUp := make(chan bool)
	o := serve(t, func(p *peer) {
		p.next()
		close(hungUp)
	})
	u := reach(t, o, nil)
	body := io.MultiReader(bytes.NewReader(pattern(piece)), readerFunc(func([]byte) (int, error) { panic("body") }))
	defer func() {
		if recover() == nil {
			t.Error("the panic was swallowed")
		}
		<-hungUp
	}()
	u.Do(context.Background(), stream("/order", body))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// An origin that dies during an upload without a word.
func TestOriginDiesDuringUpload(t *testing.T) {
	for _, reset := range []bool{false, true} {
		o := serve(t, func(p *peer) {
			io.ReadFull(p.br, make([]byte, 1000))
			if reset {
				p.reset()
			}
		})
		read := 0
		r := &Request{Head: []byte("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), Body: endless{&read}, Length: -1}
		e, err := reach(t, o, nil).Do(context.Background(), r)
		if e != nil || err == nil || Unsent(err) || ended(err) == OpBody || errors.Is(err, io.EOF) {
			t.Errorf("reset %v: got %v, %v; want the origin's fault, sent", reset, e, err)
		}
	}
}

// held is a body that gives its first piece and then nothing until it is stopped.
type held struct {
	first   []byte
	stopped chan bool
	stops   atomic.Int32
	reads   atomic.Int32 // begun after the first piece
}

func (h *held) Read(p []byte) (int, error) {
	if len(h.first) > 0 {
		n := copy(p, h.first)
		h.first = h.first[n:]
		return n, nil
	}
	h.reads.Add(1)
	<-h.stopped
	return 0, errors.New("interrupted")
}

func (h *held) stop() {
	if h.stops.Add(1) == 1 {
		close(h.stopped)
	}
}

// An early answer does not wait for the client's next bytes, and neither does the end of
// the connection.
func TestStop(t *testing.T) { everyWire(t, stop) }

func stop(t *testing.T, c *tls.Config) {
	for name, then := range map[string]func(*peer, *held){
		"answer": func(p *peer, _ *held) { p.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"); <-p.o.stopped },
		"answer while it is read": func(p *peer, h *held) {
			for h.reads.Load() == 0 {
				runtime.Gosched()
			}
			p.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
			<-p.o.stopped
		},
		"close":    func(*peer, *held) {},
		"nonsense": func(p *peer, _ *held) { p.say("SSH-2.0-x\r\n\r\n"); <-p.o.stopped },
	} {
		t.Run(name, func(t *testing.T) {
			h := &held{first: pattern(piece), stopped: make(chan bool)}
			o := serveOver(t, c, func(p *peer) {
				io.ReadFull(p.br, make([]byte, 1000))
				then(p, h)
			})
			r := &Request{Head: []byte("POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n"), Body: h, Length: 9999999, Stop: h.stop}
			u := reach(t, o, nil)
			status, body, err := carry(u, r)
			switch answered := strings.HasPrefix(name, "answer"); {
			case answered && (status != 413 || body != "big" || err != nil):
				t.Errorf("got %d, %q, %v; want 413", status, body, err)
			case !answered && (err == nil || ended(err) == OpBody || Unsent(err)):
				t.Errorf("got %d, %v; want the origin's fault, sent", status, err)
			}
			if n := h.stops.Load(); n != 1 && (n != 0 || h.reads.Load() > 0) { // the first write may have failed
				t.Errorf("stopped %d times, %d reads", n, h.reads.Load())
			}
			if u.idle.size() != 0 {
				t.Error("the connection is kept")
			}
		})
	}
}

// Whose body was read to its end is not stopped.
func TestNoStopAtTheEnd(t *testing.T) {
	o := serve(t, echo)
	u := reach(t, o, nil)
	for _, n := range []int{1, inline + 1, 1 << 20} {
		stops := 0
		r := &Request{
			Head: fmt.Appendf(nil, "POST /order HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n", n), Body: bytes.NewReader(pattern(n)),
			Length: int64(n), Stop: func() { stops++ },
		}
		if _, body, err := carry(u, r); err != nil || body != "/order" || stops != 0 {
			t.Errorf("%d bytes: %q, %v, stopped %d times", n, body, err, stops)
		}
	}
	if n := o.dialled(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
