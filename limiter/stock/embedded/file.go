package embedded

// The embedded store's file, and how it is opened and written:
//
//	store     format = "2"
//	          secret = 32 bytes
//	          index  = digest of the secret, all heads and all archived
//	ledgers   NAME   head    stamp, terms, state, freeze, and a digest of the records below
//	                 items   "=ITEM" → units loaded and withdrawn
//	                 tokens  token → stage, units, deadline, item, account, reference
//	                 lapsed  account → nothing more
//	archived  NAME   the epoch it had
//
// Counts are not kept: they follow from the records.

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

const fileFormat = "2"

// itemPrefix keeps the key of an item without a name from being empty.
const itemPrefix = "="

// lockWait is how long another process may take to let go of the file.
const lockWait = time.Second

var (
	keyStore    = []byte("store")
	keyFormat   = []byte("format")
	keySecret   = []byte("secret")
	keyIndex    = []byte("index")
	keyLedgers  = []byte("ledgers")
	keyHead     = []byte("head")
	keyItems    = []byte("items")
	keyTokens   = []byte("tokens")
	keyLapsed   = []byte("lapsed")
	keyArchived = []byte("archived")
)

// content is what a file holds.
type content struct {
	secret   []byte
	index    digest
	books    map[string]*book
	archived map[string]uint64 // epochs
}

func openFile(path string) (db *bolt.DB, c *content, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := makeFile(path); err != nil {
			return nil, nil, fmt.Errorf("make store %s: %w", path, err)
		}
	}
	if err := checkFile(path); err != nil {
		return nil, nil, err
	}
	// What has been checked should not fault; if it does, that is an answer, too.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			if db != nil {
				db.Close()
			}
			db, c, err = nil, nil, damaged(path, fmt.Errorf("%v", fault))
		}
	}()
	if db, err = openBolt(path); err != nil {
		return nil, nil, err
	}
	err = db.View(func(tx *bolt.Tx) (err error) {
		c, err = readAll(tx, time.Now().UnixMilli())
		return err
	})
	if err != nil {
		return nil, nil, errors.Join(damaged(path, err), db.Close())
	}
	return db, c, nil
}

func openBolt(path string) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout:        lockWait,
		FreelistType:   bolt.FreelistMapType,
		NoFreelistSync: true, // found again at the next start; one page less in every commit
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, taken(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return db, nil
}

func taken(path string) error {
	return fmt.Errorf("open store %s: another process is using it", path)
}

func damaged(path string, err error) error {
	if _, other := errors.AsType[*formatError](err); other {
		return fmt.Errorf("store %s: %w", path, err)
	}
	return fmt.Errorf("store %s is damaged: restore it from a copy, or move it away: %w", path, err)
}

type formatError struct{ format string }

func (e *formatError) Error() string {
	return fmt.Sprintf("format is %q, this version knows %q", e.format, fileFormat)
}

// checkFile checks the structure of a file that nobody writes meanwhile.
func checkFile(path string) (err error) {
	lock, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open store %s: %w", path, err)
	}
	defer lock.Close()
	for end := time.Now().Add(lockWait); ; <-time.After(lockWait / 20) {
		if err = unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB); err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("lock store %s: %w", path, err)
		}
		if time.Now().After(end) {
			return taken(path)
		}
	}
	if err := sound(path); err != nil {
		return damaged(path, err)
	}
	return nil
}

// makeFile makes the file at once: one that is there but empty has lost what it held.
func makeFile(path string) error {
	fresh := path + ".new"
	db, err := openBolt(fresh)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Update(writeNew); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func writeNew(tx *bolt.Tx) error {
	if tx.Bucket(keyStore) != nil {
		return nil // an earlier attempt came that far
	}
	store, err := tx.CreateBucket(keyStore)
	if err != nil {
		return err
	}
	random := make([]byte, 32)
	rand.Read(random) // never fails
	secret, sum := sealed(keySecret, random)
	var index digest
	index.add(sum)
	_, err = tx.CreateBucket(keyLedgers)
	_, err2 := tx.CreateBucket(keyArchived)
	return errors.Join(err, err2, store.Put(keyFormat, []byte(fileFormat)), store.Put(keySecret, secret), putIndex(store, index))
}

func putIndex(store *bolt.Bucket, index digest) error {
	var w writer
	w.num(index.Count)
	w.num(index.Sum)
	record, _ := sealed(keyIndex, w)
	return store.Put(keyIndex, record)
}

// keyed is one record to put, or, without a record, to delete.
type keyed struct{ key, record []byte }

// ledgerWrite is what one commit writes of a ledger, apart from the book so that this can
// go on meanwhile.
type ledgerWrite struct {
	name   string
	fresh  bool   // it may have been there, but has been loaded anew
	marker []byte // not nil: it goes away, and this remains
	head   []byte
	items  []keyed
	tokens []keyed
	lapsed []keyed
}

type writes struct {
	ledgers []ledgerWrite
	index   digest
}

func (w *writes) write(tx *bolt.Tx) error {
	for n := range w.ledgers {
		if err := w.ledgers[n].write(tx); err != nil {
			return err
		}
	}
	return putIndex(tx.Bucket(keyStore), w.index)
}

func (l *ledgerWrite) write(tx *bolt.Tx) error {
	ledgers, archived, name := tx.Bucket(keyLedgers), tx.Bucket(keyArchived), []byte(l.name)
	if l.marker != nil {
		err := ledgers.DeleteBucket(name)
		if errors.Is(err, bolterrors.ErrBucketNotFound) {
			err = nil // loaded and archived within one commit
		}
		return errors.Join(err, archived.Put(name, l.marker))
	}
	b, err := ledgers.CreateBucketIfNotExists(name)
	if err == nil && l.fresh {
		err = archived.Delete(name)
	}
	if err != nil {
		return err
	}
	err = b.Put(keyHead, l.head)
	for _, part := range []struct {
		key []byte
		put []keyed
	}{{keyItems, l.items}, {keyTokens, l.tokens}, {keyLapsed, l.lapsed}} {
		err = errors.Join(err, putAll(b, part.key, part.put))
	}
	return err
}

func putAll(in *bolt.Bucket, key []byte, records []keyed) error {
	b, err := in.CreateBucketIfNotExists(key)
	if err != nil {
		return err
	}
	// In the order of the tree, which touches each of its pages once. A key may come twice:
	// forgotten, and then taken anew.
	slices.SortStableFunc(records, func(a, b keyed) int { return bytes.Compare(a.key, b.key) })
	for _, r := range records {
		if r.record == nil {
			err = b.Delete(r.key)
		} else {
			err = b.Put(r.key, r.record)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
