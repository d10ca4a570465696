package proxy

// Accounts named by a JSON Web Token (RFC 7519), and what one says of them. The algorithm is pinned by the key
// that the operator gave, never by the token (RFC 8725, 3.1), and a token without an
// expiry is refused. Verified tokens are remembered until they expire, because
// checking a signature costs more than all gates together.

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"

	"penstock/rules"
)

// rememberedTokens bounds the memory of verified tokens.
const rememberedTokens = 1 << 15

type jwts struct {
	verified *lru.Cache[tokenKey, verifiedToken]
}

// tokenKey has the claim's purpose in it: a number is not an account, but may be a level.
type tokenKey struct {
	rule  *rules.JWT
	said  bool
	token string
}

// verifiedToken is one claim of a token: another claim is another rule.
type verifiedToken struct {
	claim string
	until time.Time
}

func newJWTs() *jwts {
	c, err := lru.New[tokenKey, verifiedToken](rememberedTokens)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return &jwts{verified: c}
}

// account answers the claim of a valid token; "" if there is none. A token that is
// there but not valid is a fault: its bearer should hear so, not shop as a stranger.
func (j *jwts) account(h *head, rule *rules.JWT, at time.Time) (string, fault) {
	return j.claim(h, rule, false, at)
}

// said answers what a valid token says of an account, as text; "" if it says nothing.
func (j *jwts) said(h *head, rule *rules.JWT, at time.Time) (string, fault) {
	return j.claim(h, rule, true, at)
}

func (j *jwts) claim(h *head, rule *rules.JWT, said bool, at time.Time) (string, fault) {
	raw, n := h.value(rule.Header)
	if n > 1 {
		return "", "the header of the account's token is there twice"
	}
	if scheme := []byte("Bearer "); len(raw) > len(scheme) && bytes.EqualFold(raw[:len(scheme)], scheme) {
		raw = trimOWS(raw[len(scheme):])
	} else if equalFold([]byte(rule.Header), "Authorization") {
		return "", "" // another scheme: not for us
	}
	if len(raw) == 0 {
		return "", ""
	}
	if v, ok := j.verified.Get(tokenKey{rule, said, view(raw)}); ok && at.Before(v.until) {
		return v.claim, ""
	}
	v, err := verify(string(raw), rule, said, at)
	if err != nil {
		return "", "the token is not valid"
	}
	j.verified.Add(tokenKey{rule, said, string(raw)}, v)
	return v.claim, ""
}

func verify(raw string, rule *rules.JWT, said bool, at time.Time) (verifiedToken, error) {
	options := []jwt.ParserOption{
		jwt.WithJSONNumber(), // a number stays as it was written
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return at }),
		jwt.WithLeeway(5 * time.Second), jwt.WithValidMethods(algorithms(rule)),
	}
	if rule.Issuer != "" {
		options = append(options, jwt.WithIssuer(rule.Issuer))
	}
	if rule.Audience != "" {
		options = append(options, jwt.WithAudience(rule.Audience))
	}
	claims := jwt.MapClaims{}
	if _, err := jwt.NewParser(options...).ParseWithClaims(raw, claims, func(t *jwt.Token) (any, error) {
		return keyFor(t, rule)
	}); err != nil {
		return verifiedToken{}, err
	}
	until, err := claims.GetExpirationTime()
	if err != nil {
		return verifiedToken{}, err
	}
	if said {
		return verifiedToken{textOf(claims[rule.Claim]), until.Time}, nil
	}
	account, _ := claims[rule.Claim].(string)
	if account == "" {
		return verifiedToken{}, errors.New("read claims: no account")
	}
	return verifiedToken{account, until.Time}, nil
}

// textOf is a claim as terms read it. A list or an object is there, but says nothing that
// a term would take for a number, a time or a word.
func textOf(claim any) string {
	switch c := claim.(type) {
	case nil:
		return ""
	case string:
		return c
	case json.Number:
		return c.String()
	case bool:
		return strconv.FormatBool(c)
	}
	b, err := json.Marshal(claim)
	if err != nil {
		return "{}"
	}
	return string(b)
}

func algorithms(rule *rules.JWT) []string {
	var algs []string
	for _, k := range rule.Keys {
		algs = append(algs, k.Alg)
	}
	return algs
}

func keyFor(t *jwt.Token, rule *rules.JWT) (any, error) {
	id, _ := t.Header["kid"].(string)
	for _, k := range rule.Keys {
		if k.Alg == t.Method.Alg() && (k.ID == id || len(rule.Keys) == 1 && (k.ID == "" || id == "")) {
			return k.Key, nil
		}
	}
	return nil, errors.New("find key: none with this id and algorithm")
}
