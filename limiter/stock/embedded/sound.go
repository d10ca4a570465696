package embedded

// Whether a file is what bbolt has written, before bbolt is let at it: it trusts its
// pages, and one that is damaged would have it panic, in a goroutine even, or go round in
// circles. What the records say is not looked at here.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
)

// bbolt's file format, version 2.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	pageHead    = 16
	elementHead = 16
	bucketHead  = 16
	branchPage  = 1
	leafPage    = 2
	metaPage    = 4
	metaSum     = 56 // bytes, and then their sum
	inBucket    = 1
)

type checker struct {
	file     *os.File
	pageSize int64
	pages    uint64 // the file has so many
	seen     []bool
}

// sound checks the structure of the whole file.
func sound(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	c := &checker{file: f}
	root, err := c.metas()
	if err != nil {
		return err
	}
	c.seen = make([]bool, c.pages)
	return c.tree(root, nil, nil)
}

// metas reads the two pages that a file begins with, each of which one commit in two
// writes. Both must be whole: if one is not, it may be the last commit's that is lost.
func (c *checker) metas() (root uint64, err error) {
	var last uint64
	for n := range int64(2) {
		b := make([]byte, pageHead+metaSum+8)
		if _, err := c.file.ReadAt(b, n*c.pageSize); err != nil {
			return 0, fmt.Errorf("page %d: %w", n, err)
		}
		flags, m := binary.LittleEndian.Uint16(b[8:]), b[pageHead:]
		sum := fnv.New64a()
		sum.Write(m[:metaSum])
		size := int64(binary.LittleEndian.Uint32(m[8:]))
		if binary.LittleEndian.Uint32(m) != boltMagic || binary.LittleEndian.Uint32(m[4:]) != boltVersion || flags != metaPage ||
			binary.LittleEndian.Uint64(m[metaSum:]) != sum.Sum64() || size < 512 || n == 1 && size != c.pageSize {
			return 0, fmt.Errorf("page %d does not begin a store", n)
		}
		c.pageSize = size
		if tx := binary.LittleEndian.Uint64(m[48:]); n == 0 || tx > last {
			root, c.pages, last = binary.LittleEndian.Uint64(m[16:]), binary.LittleEndian.Uint64(m[40:]), tx
		}
	}
	info, err := c.file.Stat()
	if err != nil {
		return 0, err
	}
	if have := uint64(info.Size() / c.pageSize); have < c.pages {
		return 0, fmt.Errorf("its end is missing: %d pages of %d are left", have, c.pages)
	}
	return root, nil
}

// tree checks a page and all below it; keys are at least low and, if high is not nil,
// below high.
func (c *checker) tree(id uint64, low, high []byte) error {
	p, err := c.page(id)
	if err == nil {
		err = c.elements(p, low, high)
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

func (c *checker) page(id uint64) ([]byte, error) {
	if id < 2 || id >= c.pages {
		return nil, errors.New("is not in the file")
	}
	var head [pageHead]byte
	if _, err := c.file.ReadAt(head[:], int64(id)*c.pageSize); err != nil {
		return nil, err
	}
	more := uint64(binary.LittleEndian.Uint32(head[12:]))
	if binary.LittleEndian.Uint64(head[:]) != id || more >= c.pages-id {
		return nil, errors.New("is another one")
	}
	for n := id; n <= id+more; n++ {
		if c.seen[n] {
			return nil, errors.New("is used twice")
		}
		c.seen[n] = true
	}
	p := make([]byte, int64(more+1)*c.pageSize)
	_, err := c.file.ReadAt(p, int64(id)*c.pageSize)
	return p, err
}

func (c *checker) elements(p []byte, low, high []byte) error {
	flags, count := binary.LittleEndian.Uint16(p[8:]), int(binary.LittleEndian.Uint16(p[10:]))
	if flags != branchPage && flags != leafPage || pageHead+count*elementHead > len(p) || flags == branchPage && count == 0 {
		return errors.New("is not a page of a tree")
	}
	var keys [][]byte
	for n := range count {
		key, value, err := element(p, n, flags)
		if err != nil {
			return err
		}
		if bytes.Compare(key, low) < 0 || n > 0 && bytes.Equal(key, low) || high != nil && bytes.Compare(key, high) >= 0 {
			return fmt.Errorf("key %q is out of place", key)
		}
		low, keys = key, append(keys, key)
		if value == nil || flags == branchPage {
			continue
		}
		if err := c.bucket(value); err != nil {
			return fmt.Errorf("bucket %q: %w", key, err)
		}
	}
	for n := 0; flags == branchPage && n < count; n++ {
		below := high
		if n+1 < count {
			below = keys[n+1]
		}
		if err := c.tree(binary.LittleEndian.Uint64(p[pageHead+n*elementHead+8:]), keys[n], below); err != nil {
			return err
		}
	}
	return nil
}

// element is the nth key of a page, and in a leaf the value, if that is a bucket.
func element(p []byte, n int, flags uint16) (key, bucket []byte, err error) {
	at := pageHead + n*elementHead
	field := func(n int) uint64 { return uint64(binary.LittleEndian.Uint32(p[at+4*n:])) }
	kind, pos, size, value := uint64(0), field(0), field(1), uint64(0)
	if flags == leafPage {
		kind, pos, size, value = field(0), field(1), field(2), field(3)
	}
	if kind > inBucket || pos < elementHead || uint64(at)+pos+size+value > uint64(len(p)) {
		return nil, nil, fmt.Errorf("element %d is not in it", n)
	}
	b := p[uint64(at)+pos:][: size+value : size+value]
	if key = b[:size:size]; kind == inBucket {
		bucket = b[size:]
	}
	return key, bucket, nil
}

// bucket is on a page of its own, or within its value if it is small.
func (c *checker) bucket(value []byte) error {
	if len(value) < bucketHead {
		return errors.New("is cut short")
	}
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		return c.tree(root, nil, nil)
	}
	p := value[bucketHead:]
	if len(p) < pageHead || binary.LittleEndian.Uint16(p[8:]) != leafPage {
		return errors.New("is cut short")
	}
	return c.elements(p, nil, nil)
}
