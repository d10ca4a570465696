package stock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Memory is what a gateway remembers, in a file of its own, of a store that it shares:
// which ledgers it has seen there, and how far each had come. With it a store that has
// lost its data is not taken for a new one after a restart. It holds no stock.
//
// The nil Memory remembers nothing.
type Memory struct {
	path string

	mu      sync.Mutex
	ledgers map[string]Stamp
	changed bool
	saved   time.Time
	yielded bool // another process writes the file
}

// saveEvery bounds how often the file is written only because time goes on.
const saveEvery = time.Second

type memoryFile struct {
	Format  int
	Ledgers map[string]Stamp
}

// OpenMemory reads the file, or makes it, so that a place that cannot be written is
// found at once. A file that cannot be read is an error: without it a store that has
// lost its data would be loaded again.
func OpenMemory(path string) (*Memory, error) {
	m := &Memory{path: path, ledgers: make(map[string]Stamp)}
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read what is remembered of the stock: %w", err)
	default:
		f := memoryFile{}
		if err := json.Unmarshal(raw, &f); err != nil || f.Format != 1 {
			return nil, fmt.Errorf("read what is remembered of the stock: %s is damaged (%v): if no sale in the store has begun, remove it", path, err)
		}
		for name, stamp := range f.Ledgers {
			m.ledgers[name] = stamp
		}
	}
	m.changed = true
	return m, m.save()
}

func (m *Memory) knows(ledger string) (Stamp, bool) {
	if m == nil {
		return Stamp{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.ledgers[ledger]
	return s, ok
}

func (m *Memory) note(ledger string, s Stamp) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, known := m.ledgers[ledger]
	if !known || old.Epoch != s.Epoch {
		m.changed, m.saved = true, time.Time{} // that it is there must not be forgotten
	}
	m.changed = m.changed || old != s
	m.ledgers[ledger] = s
}

func (m *Memory) forget(ledger string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.ledgers[ledger]; known {
		delete(m.ledgers, ledger)
		m.changed, m.saved = true, time.Time{}
	}
}

// save writes the file anew beside itself and puts it in place, if anything has changed.
func (m *Memory) save() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.changed || m.yielded || time.Since(m.saved) < saveEvery {
		return nil
	}
	return m.saveLocked()
}

func (m *Memory) saveLocked() error {
	raw, err := json.Marshal(memoryFile{Format: 1, Ledgers: m.ledgers})
	if err == nil {
		err = replace(m.path, raw)
	}
	if err != nil {
		return fmt.Errorf("write what is remembered of the stock (store.redis.state_file): %w", err)
	}
	m.changed, m.saved = false, time.Now()
	return nil
}

// Yield writes the file once more and then leaves it to another process, which reads it
// from now on.
func (m *Memory) Yield() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.yielded = true
	return m.saveLocked()
}

// Resume is for a Yield after which no other process came: the file is this one's again.
func (m *Memory) Resume() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.yielded, m.changed, m.saved = false, true, time.Time{}
}

// replace leaves either the old file or the new one, whole, whenever the power goes.
func replace(path string, raw []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already where all went well
	_, err = f.Write(raw)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
