package mine

// Reads logs in chunks of whole lines, for workers to parse side by side.

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

const chunkSize = 1 << 20 // bytes; no line may be longer

// chunk is some lines of a log. Whoever is done with it returns its buffer.
type chunk struct {
	data []byte
	name string
	at   int64 // of its first byte in the log, unpacked
}

// logs are read in their order by as many goroutines as there are workers.
type logs struct {
	in       io.Reader // what "-" means
	chunks   chan chunk
	free     sync.Pool
	done     atomic.Int64 // bytes read, packed
	tooLong  atomic.Int64 // lines that were longer than a chunk
	mu       sync.Mutex
	trailing []string // logs that end in the middle of what was packed
}

// counted counts what is read through it.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// Size is how many bytes the logs have; -1: unknown, for one of them is no plain file.
func Size(names []string) int64 {
	var sum int64
	for _, name := range names {
		info, err := os.Stat(name)
		if name == "-" || err != nil || !info.Mode().IsRegular() {
			return -1
		}
		sum += info.Size()
	}
	return sum
}

// read sends a log's chunks.
func (l *logs) read(ctx context.Context, name string) error {
	in := l.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	in = counted{in, &l.done}
	b := bufio.NewReaderSize(in, 64<<10)
	if head, _ := b.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(b)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return l.cut(ctx, z, name)
	}
	return l.cut(ctx, b, name) // a read larger than its buffer goes past it
}

func (l *logs) buffer() []byte {
	if b, ok := l.free.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, chunkSize)
}

// cut sends what is read in chunks that end with a line.
func (l *logs) cut(ctx context.Context, in io.Reader, name string) error {
	buf, at, lost := l.buffer(), int64(0), false
	for {
		var err error
		buf, err = fill(in, buf)
		last := bytes.LastIndexByte(buf, '\n') + 1
		if err != nil {
			last = len(buf)
		}
		if lost { // in the middle of a line that is too long
			first := bytes.IndexByte(buf, '\n') + 1
			lost = first == 0
			if lost {
				first = len(buf)
			}
			at += int64(first)
			buf = buf[:copy(buf, buf[first:])]
			if err == nil {
				continue
			}
			last = len(buf)
		}
		if last == 0 && err == nil {
			l.tooLong.Add(1)
			at, buf, lost = at+int64(len(buf)), buf[:0], true
			continue
		}
		next := append(l.buffer(), buf[last:]...)
		select {
		case l.chunks <- chunk{buf[:last], name, at}:
		case <-ctx.Done():
			return ctx.Err()
		}
		at, buf = at+int64(last), next
		if err != nil {
			return l.ended(err, name)
		}
	}
}

// fill reads until the buffer is full or there is no more.
func fill(in io.Reader, buf []byte) ([]byte, error) {
	for len(buf) < cap(buf) {
		n, err := in.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// ended takes what was packed and has no proper end for what it is: a log that was cut off.
func (l *logs) ended(err error, name string) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) {
		l.mu.Lock()
		l.trailing = append(l.trailing, name)
		l.mu.Unlock()
		return nil
	}
	return fmt.Errorf("read %s: %w", name, err)
}
