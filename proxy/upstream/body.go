package upstream

// The body of an answer. It ends with io.EOF only where the framing says that it ends;
// a body cut anywhere else ends with an error, for good. Chunk extensions and trailers
// are read and dropped: names that are checked in a head could come back in a trailer.

import (
	"bufio"
	"bytes"
	"io"
)

const (
	maxTrailer   = 8 << 10 // bytes
	maxSizeDigit = 15      // keeps a chunk's size in an int64
)

type framing uint8

const (
	toClose framing = iota // until the origin closes: a cut looks like an end
	fixed
	chunked
)

type body struct {
	br   *bufio.Reader
	kind framing
	left int64 // of the body if fixed, of the chunk if chunked
	tail bool  // a chunk's CRLF is still to be read
	err  error // how it ended
}

// whole reports whether the framing's end was read.
func (b *body) whole() bool {
	return b.kind == fixed && b.left == 0 || b.kind == chunked && b.err == io.EOF
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	var n int
	n, b.err = b.next(p)
	return n, b.err
}

func (b *body) next(p []byte) (int, error) {
	if b.kind == toClose {
		return b.br.Read(p)
	}
	if b.left == 0 {
		if b.kind == fixed {
			return 0, io.EOF
		}
		if err := b.nextChunk(); err != nil {
			return 0, err
		}
	}
	n, err := b.br.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, cutShort(err)
}

// nextChunk reads up to the data of the next chunk; io.EOF: it was the last, and the
// trailer is read.
func (b *body) nextChunk() error {
	if b.tail {
		if line, err := b.line(); err != nil || len(line) > 0 {
			return orBad(err, "chunk longer than its size")
		}
	}
	line, err := b.line()
	if err != nil {
		return err
	}
	if b.left, err = chunkSize(line); err != nil || b.left > 0 {
		b.tail = true
		return err
	}
	for total := 0; total <= maxTrailer; total += len(line) {
		if line, err = b.line(); err != nil {
			return err
		}
		if len(line) == 0 {
			return io.EOF
		}
		if _, err = splitField(line); err != nil {
			return err
		}
	}
	return badAnswer("trailer too large")
}

// line reads one line of the framing, which ends in CRLF and nothing less.
func (b *body) line() ([]byte, error) {
	line, err := b.br.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return nil, badAnswer("chunk line too long")
	}
	if err != nil {
		return nil, cutShort(err)
	}
	line, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || bytes.IndexByte(line, '\r') >= 0 {
		return nil, badAnswer("bare LF or CR between chunks")
	}
	return line, nil
}

// chunkSize reads a size in hex, then nothing, blanks (old servers pad) or an extension.
func chunkSize(line []byte) (int64, error) {
	n, at := int64(0), 0
	for ; at < len(line); at++ {
		d := hexDigit(line[at])
		if d < 0 {
			break
		}
		if at == maxSizeDigit {
			return 0, badAnswer("chunk size too large")
		}
		n = n<<4 | d
	}
	rest := bytes.TrimLeft(line[at:], " \t")
	if at == 0 || len(rest) > 0 && rest[0] != ';' {
		return 0, badAnswer("chunk size")
	}
	return n, nil
}

func hexDigit(b byte) int64 {
	switch {
	case '0' <= b && b <= '9':
		return int64(b - '0')
	case 'a' <= b && b <= 'f':
		return int64(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int64(b-'A') + 10
	}
	return -1
}

// cutShort is err, but for an end that comes before its time.
func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func orBad(err error, why string) error {
	if err != nil {
		return err
	}
	return badAnswer(why)
}
