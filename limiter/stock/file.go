package stock

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The embedded store's file. All of it is text but the secret, so that it can be read
// with any tool that opens a bbolt file:
//
//	store    format = "1", secret = 32 bytes
//	ledgers  NAME    seq = number
//	                 items   "=ITEM" → units loaded
//	                 tokens  token (hex) → record
//
// Counts are not kept: they follow from the records. Neither are cancelled tokens: the
// calls they wait for end with the process.
const fileFormat = "1"

// lockWait is how long another process may take to let go of the file.
const lockWait = time.Second

var (
	keyStore   = []byte("store")
	keyFormat  = []byte("format")
	keySecret  = []byte("secret")
	keyLedgers = []byte("ledgers")
	keyItems   = []byte("items")
	keyTokens  = []byte("tokens")
	keySeq     = []byte("seq")
)

func openFile(path string) (db *bolt.DB, secret []byte, books map[string]*book, err error) {
	db, err = bolt.Open(path, 0o600, &bolt.Options{
		Timeout:        lockWait,
		FreelistType:   bolt.FreelistMapType,
		NoFreelistSync: true, // found again at the next start; one page less in every commit
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, nil, nil, fmt.Errorf("open store %s: another process is using it", path)
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("open store %s: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) (err error) {
		if secret, err = readHead(tx); err == nil {
			books, err = readLedgers(tx)
		}
		return err
	})
	if err != nil {
		return nil, nil, nil, errors.Join(fmt.Errorf("read store %s: %w", path, err), db.Close())
	}
	return db, secret, books, nil
}

// readHead makes the head of a new file.
func readHead(tx *bolt.Tx) (secret []byte, err error) {
	head := tx.Bucket(keyStore)
	if head == nil {
		secret = make([]byte, 32)
		rand.Read(secret) // never fails
		head, err = tx.CreateBucket(keyStore)
		if err != nil {
			return nil, err
		}
		_, err = tx.CreateBucket(keyLedgers)
		return secret, errors.Join(err, head.Put(keyFormat, []byte(fileFormat)), head.Put(keySecret, secret))
	}
	if format := head.Get(keyFormat); string(format) != fileFormat {
		return nil, fmt.Errorf("format is %q, this version knows %q", format, fileFormat)
	}
	return slices.Clone(head.Get(keySecret)), nil
}

func readLedgers(tx *bolt.Tx) (map[string]*book, error) {
	books := make(map[string]*book)
	ledgers := tx.Bucket(keyLedgers)
	err := ledgers.ForEachBucket(func(name []byte) error {
		books[string(name)] = nil
		return nil
	})
	for name := range books { // apart: reading writes, which a running ForEach forbids
		b, err := readBook(ledgers.Bucket([]byte(name)))
		if err != nil {
			return nil, fmt.Errorf("ledger %q: %w", name, err)
		}
		books[name] = b
	}
	return books, err
}

func readBook(in *bolt.Bucket) (b *book, err error) {
	items := make(map[string]int)
	err = in.Bucket(keyItems).ForEach(func(k, v []byte) (err error) {
		items[string(k[1:])], err = strconv.Atoi(string(v))
		return err
	})
	if err != nil {
		return nil, err
	}
	b = newBook(items)
	if b.seq, err = strconv.ParseUint(string(in.Get(keySeq)), 10, 64); err != nil {
		return nil, err
	}
	var found []*entry
	tokens := in.Bucket(keyTokens)
	err = tokens.ForEach(func(k, v []byte) error {
		e := &entry{}
		if n, err := hex.Decode(e.token[:], k); err != nil || n != len(e.token) {
			return fmt.Errorf("read token %q: want 32 hex digits", k)
		}
		found = append(found, e)
		return e.read(string(v))
	})
	if err != nil {
		return nil, err
	}
	return b, b.restore(found, tokens)
}

// restore puts the entries of an earlier run in their places. What was being sent then
// is held from now on.
func (b *book) restore(found []*entry, tokens *bolt.Bucket) (err error) {
	b.touch = func(e *entry) {
		err = errors.Join(err, tokens.Put([]byte(tokenKey(e.token)), e.record()))
	}
	for _, e := range found {
		c := b.items[e.item]
		if e.account != "" && c == nil {
			return fmt.Errorf("token %s: item %q was never loaded", tokenKey(e.token), e.item)
		}
		b.place(e, c)
	}
	return err
}

// place books one entry of an earlier run; c is nil for an order of nobody knows what.
func (b *book) place(e *entry, c *Counts) {
	b.tokens[e.token] = e
	b.oversold += e.over
	if e.account == "" {
		return
	}
	c.Free -= e.units
	*c.in(e.state) += e.units
	h := b.holder(e.account)
	switch e.state {
	case bought:
		h.bought += e.units + e.over
	case sending:
		h.open = e
		b.move(e, held, 0)
		b.seq++
	case reserved:
		h.open = e
		b.await(e)
	default:
		h.open = e
	}
}

func writeLedger(tx *bolt.Tx, ledger string, items map[string]int) error {
	b, err := tx.Bucket(keyLedgers).CreateBucket([]byte(ledger))
	if err != nil {
		return err
	}
	list, err := b.CreateBucket(keyItems)
	if err != nil {
		return err
	}
	for item, units := range items {
		if err := list.Put([]byte("="+item), []byte(strconv.Itoa(units))); err != nil {
			return err
		}
	}
	_, err = b.CreateBucket(keyTokens)
	return errors.Join(err, b.Put(keySeq, []byte("0")))
}

// writes are one commit's, apart from the books so that these can go on meanwhile.
type writes []ledgerWrite

type ledgerWrite struct {
	ledger string
	seq    uint64
	tokens []tokenWrite
}

type tokenWrite struct {
	key    string
	record []byte // nil: delete
}

func (w writes) write(tx *bolt.Tx) error {
	for _, l := range w {
		b := tx.Bucket(keyLedgers).Bucket([]byte(l.ledger))
		if err := b.Put(keySeq, strconv.AppendUint(nil, l.seq, 10)); err != nil {
			return err
		}
		// In the order of the tree, which touches each of its pages once.
		slices.SortFunc(l.tokens, func(a, b tokenWrite) int { return strings.Compare(a.key, b.key) })
		if err := writeTokens(b.Bucket(keyTokens), l.tokens); err != nil {
			return err
		}
	}
	return nil
}

func writeTokens(b *bolt.Bucket, tokens []tokenWrite) error {
	for _, t := range tokens {
		var err error
		if t.record == nil {
			err = b.Delete([]byte(t.key))
		} else {
			err = b.Put([]byte(t.key), t.record)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
