// Package embedded keeps what gateways tell each other in the embedded stock store's own
// file, for the one gateway that has it: bans, and what may be used once, survive a restart
// and go to the next process with the stock. Leases are nobody else's.
//
//	shared   notes   subject → checksum, note
//	         claims  id → until, in Unix ms
//
// Memory is the truth while it runs, the file when it starts.
package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	bolt "go.etcd.io/bbolt"

	"penstock/limiter/shared"
	stock "penstock/limiter/stock/embedded"
)

var (
	keyShared = []byte("shared")
	keyNotes  = []byte("notes")
	keyClaims = []byte("claims")
)

var errDamaged = errors.New("it is not as it was written")

// Store is a shared.Store in the file.
type Store struct{ *shared.Memory }

var _ shared.Store = Store{}

// Open reads what the file has. The file is the stock's to close; afterwards every call that
// would write fails.
func Open(s *stock.Store) (Store, error) {
	f := &file{s}
	var notes []shared.Note
	claims := make(map[shared.ClaimID]int64)
	err := s.Write(func(tx *bolt.Tx) (err error) {
		notes = notes[:0]
		clear(claims)
		b, err := tx.CreateBucketIfNotExists(keyShared)
		if err != nil {
			return err
		}
		now := time.Now()
		if notes, err = readNotes(b, now); err != nil {
			return err
		}
		return readClaims(b, claims, now)
	})
	if err != nil {
		return Store{}, fmt.Errorf("read bans from the store's file: %w", err)
	}
	return Store{shared.NewKept(f, notes, claims)}, nil
}

// Exchange: there is nobody else.
func (Store) Exchange(context.Context, string, []shared.Lease) ([]shared.Lease, error) {
	return nil, nil
}

// readNotes deletes what counts no more.
func readNotes(in *bolt.Bucket, now time.Time) (notes []shared.Note, err error) {
	b, err := in.CreateBucketIfNotExists(keyNotes)
	if err != nil {
		return nil, err
	}
	var over [][]byte
	err = b.ForEach(func(k, v []byte) error {
		record, ok := unsealed(k, v)
		if !ok {
			return fmt.Errorf("ban of %q: %w", k, errDamaged)
		}
		n, err := shared.ReadNote(string(k), record)
		if err != nil {
			return fmt.Errorf("ban of %q: %w", k, err)
		}
		if !n.Live(now) {
			over = append(over, k)
			return nil
		}
		notes = append(notes, n)
		return nil
	})
	for _, k := range over {
		err = errors.Join(err, b.Delete(k))
	}
	return notes, err
}

func readClaims(in *bolt.Bucket, claims map[shared.ClaimID]int64, now time.Time) error {
	b, err := in.CreateBucketIfNotExists(keyClaims)
	if err != nil {
		return err
	}
	var over [][]byte
	err = b.ForEach(func(k, v []byte) error {
		var id shared.ClaimID
		if len(k) != len(id) || len(v) != 8 {
			return fmt.Errorf("claim %x: %w", k, errDamaged)
		}
		copy(id[:], k)
		if until := int64(binary.BigEndian.Uint64(v)); until > now.UnixMilli() {
			claims[id] = until
		} else {
			over = append(over, k)
		}
		return nil
	})
	for _, k := range over {
		err = errors.Join(err, b.Delete(k))
	}
	return err
}

// file is the Keeper.
type file struct{ store *stock.Store }

func (f *file) Notes(put []shared.Note, gone []shared.Subject) error {
	return f.store.Write(func(tx *bolt.Tx) error {
		b := tx.Bucket(keyShared).Bucket(keyNotes)
		for _, s := range gone {
			if err := b.Delete([]byte(s.String())); err != nil {
				return err
			}
		}
		for i := range put {
			k := []byte(put[i].Subject.String())
			if err := b.Put(k, sealed(k, put[i].Record())); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *file) Claim(id shared.ClaimID, until int64, gone []shared.ClaimID) error {
	return f.store.Write(func(tx *bolt.Tx) error {
		b := tx.Bucket(keyShared).Bucket(keyClaims)
		for _, id := range gone {
			if err := b.Delete(id[:]); err != nil {
				return err
			}
		}
		return b.Put(id[:], binary.BigEndian.AppendUint64(nil, uint64(until)))
	})
}

// sealed puts a sum of key and record before the record.
func sealed(key []byte, record string) []byte {
	sum := crc32.Update(crc32.ChecksumIEEE(key), crc32.IEEETable, []byte(record))
	return append(binary.BigEndian.AppendUint32(nil, sum), record...)
}

func unsealed(key, value []byte) (record string, ok bool) {
	if len(value) < 4 {
		return "", false
	}
	record = string(value[4:])
	return record, binary.BigEndian.Uint32(value) == crc32.Update(crc32.ChecksumIEEE(key), crc32.IEEETable, value[4:])
}
