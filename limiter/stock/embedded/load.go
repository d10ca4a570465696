package embedded

// Reading the file at the start.

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"penstock/limiter/stock"
	"penstock/limiter/stock/guard"
	"penstock/proxy/gate"
	"penstock/rules"
)

var errIncomplete = errors.New("records are missing, or too many")

func readAll(tx *bolt.Tx, now int64) (c *content, err error) {
	store, ledgers, archived := tx.Bucket(keyStore), tx.Bucket(keyLedgers), tx.Bucket(keyArchived)
	if store == nil {
		return nil, errIncomplete
	}
	if format := store.Get(keyFormat); string(format) != fileFormat {
		return nil, &formatError{string(format)}
	}
	if ledgers == nil || archived == nil {
		return nil, errIncomplete
	}
	c = &content{books: make(map[string]*book), archived: make(map[string]uint64)}
	secret, sum, err := unsealed(keySecret, store.Get(keySecret))
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	c.secret = bytes.Clone(secret)
	c.index.add(sum)
	err = errors.Join(c.readArchived(archived), c.readLedgers(ledgers, now))
	if err != nil {
		return nil, err
	}
	index, _, err := unsealed(keyIndex, store.Get(keyIndex))
	r := reader{rest: index}
	if want := (digest{r.num(), r.num()}); err != nil || r.end() != nil || want != c.index {
		return nil, errIncomplete
	}
	return c, nil
}

func (c *content) readArchived(in *bolt.Bucket) error {
	return in.ForEach(func(k, v []byte) error {
		record, sum, err := unsealed(k, v)
		r := reader{rest: record}
		epoch := r.num()
		if err = errors.Join(err, r.end()); err != nil {
			return fmt.Errorf("archived ledger %q: %w", k, err)
		}
		c.archived[string(k)] = epoch
		c.index.add(sum)
		return nil
	})
}

func (c *content) readLedgers(in *bolt.Bucket, now int64) error {
	return in.ForEach(func(k, v []byte) error {
		if v != nil {
			return fmt.Errorf("ledger %q: %w", k, errDamaged)
		}
		b, sum, err := readBook(string(k), in.Bucket(k), now)
		if err != nil {
			return fmt.Errorf("ledger %q: %w", k, err)
		}
		c.books[b.ledger] = b
		c.index.add(sum)
		return nil
	})
}

func readBook(ledger string, in *bolt.Bucket, now int64) (b *book, sum uint32, err error) {
	b = newBook(ledger, 0, stock.Terms{})
	record, sum, err := unsealed([]byte(ledger), in.Get(keyHead))
	if err == nil {
		err = b.head.read(record)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("head: %w", err)
	}
	b.sum, b.kept = sum, true
	want := b.records
	b.records = digest{}
	parts := []struct {
		key  []byte
		read func(k, v []byte) error
	}{{keyItems, b.readItem}, {keyTokens, func(k, v []byte) error { return b.readToken(k, v, now) }}, {keyLapsed, b.readLapsed}}
	for _, p := range parts {
		part := in.Bucket(p.key)
		if part == nil {
			return nil, 0, errIncomplete
		}
		if err := part.ForEach(p.read); err != nil {
			return nil, 0, err
		}
	}
	if b.records != want {
		return nil, 0, errIncomplete
	}
	b.settleDown(now)
	return b, sum, nil
}

func (b *book) readItem(k, v []byte) error {
	i := &item{}
	record, sum, err := unsealed(k, v)
	if err == nil {
		err = i.read(record)
	}
	if err != nil {
		return fmt.Errorf("item %q: %w", k, err)
	}
	i.name, i.sum, i.kept = string(bytes.TrimPrefix(k, []byte(itemPrefix))), sum, true
	b.items[i.name] = i
	b.records.add(sum)
	return nil
}

func (b *book) readLapsed(k, v []byte) error {
	_, sum, err := unsealed(k, v)
	if err != nil {
		return fmt.Errorf("lapsed account %q: %w", k, err)
	}
	h := b.holder(string(k))
	h.lapsed, h.marked = true, true
	b.records.add(sum)
	return nil
}

func (b *book) readToken(k, v []byte, now int64) error {
	e := &entry{kept: true}
	record, sum, err := unsealed(k, v)
	if err == nil && len(k) == len(e.token) {
		e.token, e.sum = gate.Token(k), sum
		err = b.place(e, record, now)
	}
	if err != nil || len(k) != len(e.token) {
		return fmt.Errorf("token %x: %w", k, cmp.Or(err, errDamaged))
	}
	b.records.add(sum)
	return nil
}

// place books one token of an earlier run. What was being sent then is held from now on,
// because its gateway is gone.
func (b *book) place(e *entry, record []byte, now int64) error {
	item, account, ref, err := e.read(record)
	if err != nil {
		return err
	}
	b.tokens[e.token] = e
	b.oversold += int(e.over)
	if ref != "" {
		b.name(e, ref)
	}
	if len(account) > 0 {
		if e.item = b.items[string(item)]; e.item == nil {
			return fmt.Errorf("item %q was never loaded", item)
		}
		e.holder = b.holder(string(account))
		b.count(e)
	}
	switch {
	case e.state == stock.Sending && guard.Off("sending held"):
		b.release(e, false, now)
	case e.state == stock.Sending:
		b.keep(e, now)
	case e.state == stock.Held && e.due == 0 && b.terms.Unknown != rules.Keep:
		e.due = b.heldUntil(now)
		b.touch(e)
		b.await(e)
	default:
		b.await(e)
	}
	return nil
}

// count counts a token's units. Its account's change comes after what anybody can have
// seen before.
func (b *book) count(e *entry) {
	h := e.holder
	e.item.Free -= int(e.units)
	*e.item.in(e.state) += int(e.units)
	if e.state == stock.Sold {
		h.bought += e.units + e.over
	}
	if e.state.Open() {
		b.hold(e, true)
	}
	if h.seq == 0 {
		b.Seq++
		h.seq = b.Seq
		b.journal.add(h)
	}
}

// settleDown ends the reading of a ledger's tokens.
func (b *book) settleDown(now int64) {
	slices.SortFunc(b.late, func(x, y *entry) int { return cmp.Compare(x.changed, y.changed) })
	for _, h := range b.holders {
		if h.seq != 0 && h.open == nil && h.bought == 0 {
			b.leavers = append(b.leavers, leaver{h, h.seq, now})
		}
	}
}
