package proxy

// Accounts named by a JSON Web Token (RFC 7519). The algorithm is pinned by the key
// that the operator gave, never by the token (RFC 8725, 3.1), and a token without an
// expiry is refused. Verified tokens are remembered until they expire, because
// checking a signature costs more than all gates together.

import (
	"bytes"
	"errors"
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

type tokenKey struct {
	rule  *rules.JWT
	token string
}

type verifiedToken struct {
	account string
	until   time.Time
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
	raw, n := h.value(rule.Header)
	if n > 1 {
		return "", "the account's header is there twice"
	}
	if scheme := []byte("Bearer "); len(raw) > len(scheme) && bytes.EqualFold(raw[:len(scheme)], scheme) {
		raw = trimOWS(raw[len(scheme):])
	} else if equalFold([]byte(rule.Header), "Authorization") {
		return "", "" // another scheme: not for us
	}
	if len(raw) == 0 {
		return "", ""
	}
	if v, ok := j.verified.Get(tokenKey{rule, view(raw)}); ok && at.Before(v.until) {
		return v.account, ""
	}
	v, err := verify(string(raw), rule, at)
	if err != nil {
		return "", "the token is not valid"
	}
	j.verified.Add(tokenKey{rule, string(raw)}, v)
	return v.account, ""
}

func verify(raw string, rule *rules.JWT, at time.Time) (verifiedToken, error) {
	options := []jwt.ParserOption{
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
	account, _ := claims[rule.Claim].(string)
	until, err := claims.GetExpirationTime()
	if account == "" || err != nil {
		return verifiedToken{}, errors.New("read claims: no account")
	}
	return verifiedToken{account, until.Time}, nil
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
