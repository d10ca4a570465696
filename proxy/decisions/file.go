package decisions

// The file, which begins anew when it is large enough. A library would do, but for two
// processes that write to one file while one hands over to the other: lines are appended
// whole, and who finds that the other has begun another file goes on in that.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"penstock/rules"
)

type file struct {
	f    *os.File
	name string
	size int64
	torn bool // a line in it may not have been ended
}

// write appends whole lines, and answers how many bytes of them are there. A write that
// fails is not tried again; what comes next begins on a line of its own.
func (f *file) write(d *rules.Decisions, lines []byte) (n int, err error) {
	if err := f.open(d.File); err != nil {
		return 0, fmt.Errorf("open the log of decisions: %w", err)
	}
	if err := f.mend(); err != nil {
		return 0, fmt.Errorf("write decisions: %w", err)
	}
	n, err = f.f.Write(lines)
	f.size += int64(n)
	if err != nil {
		f.torn = n > 0 && lines[n-1] != '\n'
		return n, errors.Join(fmt.Errorf("write decisions: %w", err), f.mend(), f.close())
	}
	if f.size >= d.Size {
		if err := f.turn(d); err != nil {
			return n, fmt.Errorf("begin another log of decisions: %w", err)
		}
	}
	return n, nil
}

// mend ends a line that was begun.
func (f *file) mend() error {
	if !f.torn {
		return nil
	}
	_, err := f.f.Write([]byte{'\n'})
	f.torn = err != nil
	return err
}

// open makes sure that f is what the name stands for.
func (f *file) open(name string) error {
	if f.f != nil && f.name == name {
		mine, err1 := f.f.Stat()
		there, err2 := os.Stat(name)
		if err1 == nil && err2 == nil && os.SameFile(mine, there) {
			f.size = there.Size()
			return nil
		}
	}
	if err := f.close(); err != nil {
		return err
	}
	opened, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	info, err := opened.Stat()
	if err != nil {
		return errors.Join(err, opened.Close())
	}
	f.torn = f.torn && f.name == name
	f.f, f.name, f.size = opened, name, info.Size()
	return nil
}

func (f *file) close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}

// turn puts the file away under a name that says when, and forgets the oldest ones.
func (f *file) turn(d *rules.Decisions) error {
	if err := f.close(); err != nil {
		return err
	}
	if err := os.Rename(f.name, f.name+"."+time.Now().UTC().Format("20060102T150405.000000")); err != nil {
		return err
	}
	old, err := filepath.Glob(escape(f.name) + ".[0-9]*T[0-9]*")
	if err != nil {
		return err
	}
	slices.Sort(old)
	var failed error
	for ; len(old) >= max(d.Files, 1); old = old[1:] { // the one that is written to counts, too
		failed = errors.Join(failed, os.Remove(old[0]))
	}
	return failed
}

// escape keeps a name from being read as a pattern.
func escape(name string) string {
	var b []byte
	for _, c := range []byte(name) {
		if c == '*' || c == '?' || c == '[' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return string(b)
}
