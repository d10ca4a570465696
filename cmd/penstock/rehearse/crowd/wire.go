package crowd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Answers, read from the wire. Only what the crowd looks at is kept; the rest is read
// and dropped. The reader is strict where a mistake would make it take one answer's
// bytes for the next one's.

const (
	headMost = 64 << 10 // bytes of one head
	bodyKept = 16 << 10
)

var errMalformed = errors.New("malformed answer")

// reply is an answer with what only the connection needs to know. It is used again for
// the next one.
type reply struct {
	Answer
	cookies []string // whole values of Set-Cookie
	closes  bool     // the connection is of no more use
	begun   bool     // at least one byte has come

	location, reason, body []byte // kept for their memory
}

// read reads one answer. An error leaves the connection useless.
func (r *reply) read(b *bufio.Reader, head bool) error {
	*r = reply{location: r.location[:0], reason: r.reason[:0], body: r.body[:0]}
	if _, err := b.Peek(1); err != nil {
		return err
	}
	r.begun = true
	for {
		length, chunked, err := r.readHead(b)
		if err != nil {
			return noEOF(err)
		}
		if r.Status >= 200 {
			return noEOF(r.readBody(b, head, length, chunked))
		}
		if r.Status == 101 {
			return errMalformed // nobody has asked for another protocol
		}
	}
}

// noEOF makes an end within an answer an error of its own.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *reply) readHead(b *bufio.Reader) (length int64, chunked bool, err error) {
	line, err := readLine(b)
	if err != nil {
		return 0, false, err
	}
	if r.Status, r.closes, err = statusLine(line); err != nil {
		return 0, false, err
	}
	length = -1
	for size := len(line); ; {
		line, err := readLine(b)
		if err != nil {
			return 0, false, err
		}
		if len(line) == 0 {
			break
		}
		if size += len(line); size > headMost {
			return 0, false, errMalformed
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 {
			return 0, false, errMalformed
		}
		if err := r.field(name, bytes.TrimSpace(value), &length, &chunked); err != nil {
			return 0, false, err
		}
	}
	r.Answer.Reason, r.Answer.Location = r.reason, r.location
	return length, chunked, nil
}

// statusLine reads "HTTP/1.1 200 OK". Answers of HTTP/1.0 end with the connection.
func statusLine(line []byte) (status int, closes bool, err error) {
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return 0, false, errMalformed
	}
	for _, d := range line[9:12] {
		if d < '0' || d > '9' {
			return 0, false, errMalformed
		}
		status = status*10 + int(d-'0')
	}
	if status < 100 {
		return 0, false, errMalformed
	}
	return status, line[7] == '0', nil
}

// field takes in one header.
func (r *reply) field(name, value []byte, length *int64, chunked *bool) error {
	is := func(s string) bool { return len(name) == len(s) && bytes.EqualFold(name, []byte(s)) }
	switch {
	case is("Content-Length"):
		n, err := strconv.ParseUint(string(value), 10, 62)
		if err != nil || *length >= 0 && *length != int64(n) {
			return errMalformed
		}
		*length = int64(n)
	case is("Transfer-Encoding"):
		if !bytes.EqualFold(value, []byte("chunked")) {
			return errMalformed
		}
		*chunked = true
	case is("Connection"):
		for token := range bytes.SplitSeq(value, []byte(",")) {
			r.closes = r.closes || bytes.EqualFold(bytes.TrimSpace(token), []byte("close"))
		}
	case is("Penstock-Reason"):
		r.reason = append(r.reason[:0], value...)
	case is("Location"):
		r.location = append(r.location[:0], value...)
	case is("Set-Cookie"):
		r.cookies = append(r.cookies, string(value))
	case is("Retry-After"):
		if s, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			r.RetryAfter, r.HasRetry = time.Duration(s)*time.Second, true
		} // a date is left out: nobody we are sent to gives one
	}
	return nil
}

func (r *reply) readBody(b *bufio.Reader, head bool, length int64, chunked bool) error {
	defer func() { r.Body = r.body }()
	switch {
	case head || r.Status == 204 || r.Status == 304:
		return nil
	case chunked && length >= 0:
		return errMalformed
	case chunked:
		return r.readChunks(b)
	case length >= 0:
		return r.take(b, length)
	}
	r.closes = true // it ends with the connection
	for {
		if err := r.take(b, 1); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := r.take(b, int64(b.Buffered())); err != nil {
			return err
		}
	}
}

func (r *reply) readChunks(b *bufio.Reader) error {
	for {
		line, err := readLine(b)
		if err != nil {
			return noEOF(err)
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimRight(digits, " \t")), 16, 62)
		if err != nil {
			return errMalformed
		}
		if n == 0 {
			break
		}
		if err := r.take(b, int64(n)); err != nil {
			return noEOF(err)
		}
		if line, err = readLine(b); err != nil {
			return noEOF(err)
		} else if len(line) != 0 {
			return errMalformed
		}
	}
	for { // trailers
		if line, err := readLine(b); err != nil || len(line) == 0 {
			return noEOF(err)
		}
	}
}

// take reads n bytes of body, keeps the first ones and drops the rest.
func (r *reply) take(b *bufio.Reader, n int64) error {
	for n > 0 {
		piece, err := b.Peek(int(min(n, int64(max(1, b.Buffered())))))
		if keep := bodyKept - len(r.body); keep > 0 {
			r.body = append(r.body, piece[:min(keep, len(piece))]...)
		}
		if err != nil {
			return err
		}
		b.Discard(len(piece)) // they are there
		n -= int64(len(piece))
	}
	return nil
}

// readLine reads up to a line's end and takes that off. The line is lent until the next
// read.
func readLine(b *bufio.Reader) ([]byte, error) {
	line, err := b.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("%w: a line is longer than %d bytes", errMalformed, len(line))
	}
	if err != nil {
		return nil, err
	}
	line = line[:len(line)-1]
	return bytes.TrimSuffix(line, []byte("\r")), nil
}
