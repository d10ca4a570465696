package proxy

// Requests that come whole, in one piece, to a connection that waits for one: nearly all.
// They are read by the scan that every head goes through, and answered where they were
// read, without fasthttp's parser, its URI and its answer, of which nothing would be used.
//
// What is not plain is left to fasthttp: a piece of a request, two of them at once,
// anything faulty, and whatever announces something (Expect, Upgrade, chunks). So the two
// cannot differ in what they refuse, and where they accept, they must read the same; a
// fuzz test holds them to it.

import (
	"bytes"
	"encoding/binary"
	"time"
)

// whole answers raw if it is one plain request and nothing more.
func (p *Proxy) whole(c *conn, raw []byte) (answered bool) {
	r := p.requests.Get().(*request)
	body, ends, ok := p.plain(r, raw)
	if !ok {
		p.requests.Put(r)
		return false
	}
	r.inline.Reset(body)
	r.from = &r.inline
	p.begin(r, c, time.Now(), len(raw)-len(body))
	r.last = r.last || ends
	p.handle(r)
	return true
}

// plain is head.plain. A panic in it would end the process: handle contains only its own.
func (p *Proxy) plain(r *request, raw []byte) (body []byte, ends, ok bool) {
	defer func() {
		if e := recover(); e != nil {
			p.panicked(e)
			ok = false
		}
	}()
	return r.head.plain(raw)
}

// plain reads raw as one whole request, as far as it is plain. ends: its connection ends
// with it.
func (h *head) plain(raw []byte) (body []byte, ends, ok bool) {
	h.clear()
	line := bytes.IndexByte(raw, '\n') + 1
	if !h.plainLine(raw[:line]) {
		return nil, false, false
	}
	body, f := h.scanFields(raw[line:])
	if f != "" || h.scanTarget() != "" || len(h.host) == 0 || h.host[0] == '[' {
		return nil, false, false
	}
	for i := range h.fields {
		f := &h.fields[i]
		switch f.known {
		case hConnection:
			ends = ends || bytes.EqualFold(f.value, wordClose)
			if !ends && !bytes.EqualFold(f.value, wordKeepAlive) {
				return nil, false, false
			}
		case hContentLength:
			if h.length, ok = length(f.value); !ok {
				return nil, false, false
			}
		case hExpect, hHop, hTransferEncoding:
			return nil, false, false
		}
		if !printable(f.value) {
			return nil, false, false
		}
	}
	return body, ends, len(body) == h.length
}

var (
	endOfLine     = []byte(" HTTP/1.1\r\n")
	wordClose     = []byte("close")
	wordKeepAlive = []byte("keep-alive")
)

// plainLine reads a request line that asks for a path.
func (h *head) plainLine(line []byte) bool {
	line, ok := bytes.CutSuffix(line, endOfLine)
	if !ok {
		return false
	}
	blank := bytes.IndexByte(line, ' ')
	if blank < 1 || blank+1 >= len(line) || line[blank+1] != '/' || !methodOK(line[:blank]) {
		return false
	}
	h.method, h.target = line[:blank], line[blank+1:]
	return true
}

// length reads a Content-Length of at most nine digits.
func length(v []byte) (n int, ok bool) {
	if len(v) == 0 || len(v) > 9 {
		return 0, false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// printable reports whether b has neither a tab nor any other control character; it looks
// at eight bytes at a time ("Bit Twiddling Hacks", S. E. Anderson: hasless, haszero).
func printable(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		del := w ^ 0x7f*ones
		if ((w-0x20*ones)&^w|(del-ones)&^del)&highs != 0 {
			return false
		}
	}
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}
