package conformance

// How the origin reads a request: as strictly as there is anything to be strict about in
// what the gateway writes, so that a request framed in another way is none.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// request is one request as it stood on the wire.
type request struct {
	raw            string // what was read of it, also if it is not whole
	method, target string
	body           string
	chunked        bool
	length         int
}

var (
	requestLine = regexp.MustCompile(`^([A-Z-]+) ([^\x00-\x20\x7f#]+) HTTP/1\.1\r\n`)
	lengthLine  = regexp.MustCompile(`(?i)\r\nContent-Length: (\d+)\r\n`)
	codingLine  = regexp.MustCompile(`(?i)\r\nTransfer-Encoding: chunked\r\n`)
	framingLine = regexp.MustCompile(`(?i)\n *(Content[-_]Length|Transfer[-_]Encoding)[^\n]*\n`)
	hostLine    = regexp.MustCompile(`(?i)\r\nHost: [^\r\n]+\r\n`)
)

var errNoRequest = errors.New("not a request as the gateway writes them")

func (r *request) read(br *bufio.Reader) error {
	if err := r.readHead(br); err != nil {
		return err
	}
	return r.readBody(br)
}

func (r *request) readHead(br *bufio.Reader) error {
	for !strings.HasSuffix(r.raw, "\r\n\r\n") {
		if _, err := r.line(br); err != nil {
			return err
		}
	}
	line := requestLine.FindStringSubmatch(r.raw)
	if line == nil || len(hostLine.FindAllString(r.raw, -1)) != 1 {
		return errNoRequest
	}
	r.method, r.target = line[1], line[2]
	// Neighbours share a line end, so each kind is counted alone.
	length, coding := lengthLine.FindAllStringSubmatch(r.raw, -1), codingLine.FindAllString(r.raw, -1)
	if len(framingLine.FindAllString(r.raw, -1)) != len(length)+len(coding) {
		return errNoRequest
	}
	if len(length)+len(coding) > 1 {
		return errNoRequest
	}
	r.chunked = len(coding) == 1
	if len(length) == 1 {
		var err error
		r.length, err = strconv.Atoi(length[0][1])
		return err
	}
	return nil
}

func (r *request) readBody(br *bufio.Reader) error {
	if r.chunked {
		return r.chunks(br)
	}
	at := len(r.raw)
	err := r.bytes(br, r.length)
	r.body = r.raw[at:]
	return err
}

// line reads one line and its CR LF, which it keeps.
func (r *request) line(br *bufio.Reader) (string, error) {
	line, err := br.ReadString('\n')
	r.raw += line
	if err == nil && !strings.HasSuffix(line, "\r\n") {
		err = errNoRequest
	}
	return line, err
}

func (r *request) bytes(br *bufio.Reader, n int) error {
	b := make([]byte, n)
	n, err := io.ReadFull(br, b)
	r.raw += string(b[:n])
	return err
}

var sizeLine = regexp.MustCompile(`^[0-9a-f]+\r\n$`)

func (r *request) chunks(br *bufio.Reader) error {
	for {
		line, err := r.line(br)
		if err != nil {
			return err
		}
		var n int
		if _, err := fmt.Sscanf(line, "%x", &n); err != nil || !sizeLine.MatchString(line) {
			return errNoRequest
		}
		at := len(r.raw)
		if err := r.bytes(br, n+2); err != nil {
			return err
		}
		if !strings.HasSuffix(r.raw, "\r\n") {
			return errNoRequest
		}
		if r.body += r.raw[at : at+n]; n == 0 {
			return nil
		}
	}
}
