package proxy

// Signed visitor cookies and passes, and hashes of accounts for the log. Every MAC covers
// its purpose, so that a value made for one can never stand for another.

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

const visitorCookie = "penstock_visitor"

// visitorID is how long a visitor's id is, and the proof of it: base64url of 16 bytes.
const visitorID = 22

// ownCookies is the prefix of cookies the origin neither sees nor sets.
const ownCookies = "penstock_"

// secret signs; at least 32 bytes.
type secret []byte

func (s secret) mac(purpose, value string) []byte {
	m := hmac.New(sha256.New, s)
	m.Write([]byte{byte(len(purpose))})
	m.Write([]byte(purpose))
	m.Write([]byte(value))
	return m.Sum(nil)
}

// visitor checks a cookie's value and answers the visitor's id.
func (s secret) visitor(cookie string) (id string, ok bool) {
	if len(cookie) != 2*visitorID+1 || cookie[visitorID] != '.' {
		return "", false
	}
	want := base64.RawURLEncoding.EncodeToString(s.mac("visitor", cookie[:visitorID])[:16])
	return cookie[:visitorID], subtle.ConstantTimeCompare([]byte(want), []byte(cookie[visitorID+1:])) == 1
}

// newVisitor makes a visitor's id and the cookie's value that proves it.
func (s secret) newVisitor() (id, cookie string) {
	var b [16]byte
	rand.Read(b[:])
	id = base64.RawURLEncoding.EncodeToString(b[:])
	return id, id + "." + base64.RawURLEncoding.EncodeToString(s.mac("visitor", id)[:16])
}

// hash names an account in the log without telling who it is.
func (s secret) hash(account string) string {
	return hex.EncodeToString(s.mac("log", account)[:8])
}

// AccountHash names accounts as this package's log does, in 16 hex digits, for whoever
// shares the secret.
func AccountHash(of []byte) func(account string) string { return secret(of).hash }

// signer makes the MACs of passes, in its own memory: a pass is checked with every
// request of its bearer. Every part is preceded by its length, so that no two lists of
// parts read the same.
type signer struct {
	h       hash.Hash
	in, out []byte
	scratch [64]byte
}

func newSigner(s secret) *signer { return &signer{h: hmac.New(sha256.New, s)} }

func (s *signer) begin(purpose string) {
	s.in = s.in[:0]
	s.add(purpose)
}

func (s *signer) add(part string) {
	s.in = append(binary.BigEndian.AppendUint16(s.in, uint16(len(part))), part...)
}

// sum is 16 bytes that last until the next one.
func (s *signer) sum() []byte {
	s.h.Reset()
	s.h.Write(s.in)
	s.out = s.h.Sum(s.out[:0])
	return s.out[:16]
}

// visitor is secret.visitor without its garbage, for every request that shows a proof; "":
// the cookie is not one of ours.
func (s *signer) visitor(cookie string) (id string) {
	const purpose = "visitor"
	if len(cookie) != 2*visitorID+1 || cookie[visitorID] != '.' {
		return ""
	}
	s.in = append(append(append(s.in[:0], byte(len(purpose))), purpose...), cookie[:visitorID]...)
	want := base64.RawURLEncoding.AppendEncode(s.scratch[:0], s.sum())
	if subtle.ConstantTimeCompare(want, []byte(cookie[visitorID+1:])) != 1 {
		return ""
	}
	return cookie[:visitorID]
}

// pass signs what stands in a pass, for its sale.
func (s *signer) pass(sale string, body []byte) []byte {
	s.begin("pass")
	s.add(sale)
	s.in = append(s.in, body...)
	return s.sum()
}
