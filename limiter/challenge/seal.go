package challenge

// The form of tokens, and the keys they are signed with.
//
// A token is a list of parts, each preceded by its length, and the first 16 bytes of the
// HMAC-SHA-256 of that list, all in base64url. Its first parts are its purpose and the day
// of its key; there is one key for each purpose and day, by HKDF (RFC 5869) from the
// installation's secret, and a text can be spelled in one way only.
//
// A key is good for its own day and the next. It gives up calling tokens back: who learns
// the secret can make any, and a new secret voids all.

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"penstock/proxy/gate"
)

const (
	epoch = 24 * time.Hour
	skew  = time.Minute // how far apart the clocks of two gateways may be

	macLen  = 16
	nameLen = 16
	maxText = 400 // longer than any token: a sale's name has at most 63 bytes
)

type nonce [16]byte

// How a challenge may be answered.
const (
	byWork uint8 = 1 << iota
	byImage
	byRemote
)

// token is what a challenge or a clearance says.
type token struct {
	sale    string
	account string // as its name by Desk.name; "": none
	device  string // likewise
	level   uint8
	parts   uint8
	bits    uint8
	ways    uint8 // byWork …; none in a clearance
	asked   time.Time
	made    time.Time // of a clearance: when its challenge was solved; else asked
	until   time.Time
	nonce   nonce

	day uint32 // of its key
}

// derive is the key of a purpose and a day.
func derive(secret []byte, purpose string, day uint32) []byte {
	// It fails for lengths beyond 8,160 bytes only.
	k, err := hkdf.Key(sha256.New, secret, nil, "penstock challenge "+purpose+" "+strconv.FormatUint(uint64(day), 10), sha256.Size)
	if err != nil {
		panic("BUG: derive a key of 32 bytes: " + err.Error())
	}
	return k
}

// signer makes MACs with one key.
type signer struct{ pool sync.Pool }

// work is the memory of one MAC.
type work struct {
	h       hash.Hash
	in, sum []byte
}

func newSigner(key []byte) *signer {
	return &signer{sync.Pool{New: func() any {
		return &work{hmac.New(sha256.New, key), make([]byte, 0, maxText), make([]byte, 0, sha256.Size)}
	}}}
}

// mac is 32 bytes in w, which last until it is put back.
func (w *work) mac(in []byte) []byte {
	w.h.Reset()
	w.h.Write(in)
	w.sum = w.h.Sum(w.sum[:0])
	return w.sum
}

// name is what stands for an account or a device in the tokens of a sale; "" for "".
func (s *signer) name(kind, sale, value string) string {
	if value == "" {
		return ""
	}
	w := s.pool.Get().(*work)
	defer s.pool.Put(w)
	w.in = part(part(w.in[:0], kind), sale)
	w.in = append(w.in, value...)
	return string(w.mac(w.in)[:nameLen])
}

func part(b []byte, p string) []byte { return append(append(b, byte(len(p))), p...) }

// cut takes the first part off b; ok is false if there is none.
func cut(b []byte) (p, rest []byte, ok bool) {
	if len(b) == 0 || len(b) <= int(b[0]) {
		return nil, nil, false
	}
	n := 1 + int(b[0])
	return b[1:n], b[n:], true
}

// seal signs and opens the tokens of one purpose.
type seal struct {
	secret  []byte
	purpose string
	ring    atomic.Pointer[ring]
}

// ring holds the signers of three days.
type ring struct {
	first uint32
	days  [3]*signer
}

func dayOf(at time.Time) uint32 { return uint32(at.Unix() / int64(epoch/time.Second)) }

// signer is the one of a day, if that day's key is good at this time: of today, of
// yesterday, and of tomorrow where another gateway's clock may have got there already.
func (s *seal) signer(day uint32, at time.Time) *signer {
	today := dayOf(at)
	if day-(today-1) > 1 && day != dayOf(at.Add(skew)) {
		return nil
	}
	r := s.ring.Load()
	if r == nil || r.first != today-1 {
		r = &ring{first: today - 1}
		for i := range r.days {
			r.days[i] = newSigner(derive(s.secret, s.purpose, r.first+uint32(i)))
		}
		s.ring.Store(r) // two at once make the same keys
	}
	return r.days[day-r.first]
}

// close makes the text of a token.
func (s *seal) close(t *token, at time.Time) string {
	t.day = dayOf(at)
	g := s.signer(t.day, at)
	w := g.pool.Get().(*work)
	defer g.pool.Put(w)
	w.in = t.append(w.in[:0], s.purpose)
	w.in = append(w.in, w.mac(w.in)[:macLen]...)
	return base64.RawURLEncoding.EncodeToString(w.in)
}

func (t *token) append(b []byte, purpose string) []byte {
	b = part(b, purpose)
	b = binary.BigEndian.AppendUint32(append(b, 4), t.day)
	b = part(part(part(b, t.sale), t.account), t.device)
	b = append(b, 4, t.level, t.parts, t.bits, t.ways)
	for _, at := range [...]time.Time{t.asked, t.made, t.until} {
		b = binary.BigEndian.AppendUint64(append(b, 8), uint64(at.UnixNano()))
	}
	return part(b, string(t.nonce[:]))
}

// open reads a text. Nothing of what it says is believed before its MAC is right. It is
// ErrLateAnswer if its time, or that of its key, is over, and else ErrForeign.
func (s *seal) open(text string, at time.Time) (t token, err error) {
	// The decoder skips line ends, which would be other spellings.
	if len(text) > maxText || strings.ContainsAny(text, "\r\n") {
		return t, gate.ErrForeign
	}
	var room [maxText]byte
	n, err := base64.RawURLEncoding.Strict().Decode(room[:], []byte(text))
	if err != nil || n < macLen {
		return t, gate.ErrForeign
	}
	body, mac := room[:n-macLen], room[n-macLen:n]
	purpose, rest, _ := cut(body)
	day, _, ok := cut(rest)
	if !ok || string(purpose) != s.purpose || len(day) != 4 {
		return t, gate.ErrForeign
	}
	d := binary.BigEndian.Uint32(day)
	g := s.signer(d, at)
	if g == nil {
		if d < dayOf(at) {
			return t, gate.ErrLateAnswer
		}
		return t, gate.ErrForeign
	}
	if !g.signed(body, mac) || !t.read(body) || t.made.After(at.Add(skew)) {
		return token{}, gate.ErrForeign
	}
	if !at.Before(t.until) {
		return token{}, gate.ErrLateAnswer
	}
	return t, nil
}

func (s *signer) signed(body, mac []byte) bool {
	w := s.pool.Get().(*work)
	defer s.pool.Put(w)
	w.in = append(w.in[:0], body...) // or the caller's room would be on the heap
	return subtle.ConstantTimeCompare(w.mac(w.in)[:macLen], mac) == 1
}

// read takes the parts of a body; false if they are not a token's.
func (t *token) read(body []byte) bool {
	var p [10][]byte
	for i := range p {
		var ok bool
		if p[i], body, ok = cut(body); !ok {
			return false
		}
	}
	if len(body) != 0 || len(p[1]) != 4 || len(p[5]) != 4 || len(p[6]) != 8 || len(p[7]) != 8 || len(p[8]) != 8 || len(p[9]) != len(t.nonce) {
		return false
	}
	t.day = binary.BigEndian.Uint32(p[1])
	t.sale, t.account, t.device = string(p[2]), string(p[3]), string(p[4])
	t.level, t.parts, t.bits, t.ways = p[5][0], p[5][1], p[5][2], p[5][3]
	for i, at := range [...]*time.Time{&t.asked, &t.made, &t.until} {
		*at = time.Unix(0, int64(binary.BigEndian.Uint64(p[6+i])))
	}
	copy(t.nonce[:], p[9])
	return true
}
