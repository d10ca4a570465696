package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"penstock/limiter/stock"
	"penstock/limiter/stock/embedded"
)

// The embedded store as a site. A crash leaves the file as it is at that moment: the next
// gateway goes on with a copy of it, taken while the old one may still be writing. What was
// answered before the crash is in it; a copy that is torn is refused, and taken again.

type file struct {
	mu    sync.Mutex
	path  string
	lives int
	store *embedded.Store
}

func newFile(w *world) *file { return &file{path: filepath.Join(w.dir, "stock-0.db")} }

func (f *file) places() int  { return 1 }
func (f *file) memory() bool { return false }
func (f *file) lost() bool   { return false }
func (f *file) heal(*world)  {}

func (f *file) watcher(*world) stock.Store {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store
}

func (f *file) fault(w *world) {
	if w.r.IntN(2) == 0 {
		adjust(w, f.watcher(w))
		return
	}
	w.any().crash("crash anywhere")
}

func (f *file) open(w *world, after *gateway) (stock.Store, error) {
	path := f.path
	if after != nil {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		f.lives++
		path = filepath.Join(w.dir, fmt.Sprintf("stock-%d.db", f.lives))
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			return nil, err
		}
	}
	store, err := embedded.Open(path)
	if err != nil {
		w.tally.Fault("torn copy refused")
		return nil, err
	}
	if after != nil {
		f.damage(w, path, store)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.path, f.store = path, store
	return store, nil
}

// damage opens copies that end early, or in which bits have flipped: they are refused, or
// are the same ledger or an earlier one.
func (f *file) damage(w *world, path string, whole stock.Store) {
	raw, err := os.ReadFile(path)
	if err != nil {
		w.Error(err)
		return
	}
	is, err := whole.Pulse(context.Background(), ledger)
	if err != nil {
		w.Error(err)
		return
	}
	hurt := filepath.Join(w.dir, "hurt.db")
	for n := range 4 {
		b := append([]byte(nil), raw...)
		at := int(w.tokens.Add(1)*2654435761) % len(b)
		if n%2 == 0 {
			b = b[:at]
		} else {
			b[at] ^= 1 << (at % 8)
		}
		w.tally.Fault("file truncated or flipped")
		if err := os.WriteFile(hurt, b, 0o600); err != nil {
			w.Error(err)
			return
		}
		if err := f.hurt(hurt, is[0]); err != nil {
			w.Errorf("seed %d: a file with a fault at byte %d of %d: %v", w.seed, at, len(raw), err)
		}
	}
}

func (f *file) hurt(path string, is stock.Picture) error {
	defer os.Remove(path)
	store, err := embedded.Open(path)
	if err != nil {
		return nil // refused
	}
	defer store.Close()
	p, err := store.Pulse(context.Background(), ledger)
	switch {
	case err != nil || p[0].Items == nil && is.Items == nil:
		return nil
	case p[0].Items == nil:
		return errors.New("the ledger is gone, and the file is opened")
	case p[0].Epoch != is.Epoch || p[0].Seq > is.Seq:
		return fmt.Errorf("it is %+v, the whole one %+v", p[0].Stamp, is.Stamp)
	case p[0].Seq == is.Seq && p[0].Items["red"].Loaded == is.Items["red"].Loaded && p[0].Items["red"].Sold != is.Items["red"].Sold:
		return fmt.Errorf("it has %+v, the whole one %+v", p[0].Items, is.Items)
	}
	return nil
}
