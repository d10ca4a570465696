package proxy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"penstock/rules"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// keys holds one private key per algorithm.
type keys struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
	ed  ed25519.PrivateKey
	mac []byte
}

func newKeys(t *testing.T) keys {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keys{r, e, d, []byte("a secret of at least thirty-two bytes")}
}

// claims are good ones at noon, changed.
func claims(change jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "alice", "exp": noon.Add(time.Hour).Unix(), "iss": "shop", "aud": []string{"app", "sale"}}
	maps.Copy(c, change)
	for k, v := range c {
		if v == nil {
			delete(c, k)
		}
	}
	return c
}

func signed(t *testing.T, method jwt.SigningMethod, key any, kid string, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func public(k crypto.Signer) crypto.PublicKey { return k.Public() }

func TestTokens(t *testing.T) {
	k := newKeys(t)
	rule := func(ks ...rules.JWTKey) *rules.JWT {
		return &rules.JWT{Header: "Authorization", Claim: "sub", Issuer: "shop", Audience: "sale", Keys: ks}
	}
	mac := rules.JWTKey{Alg: "HS256", Key: k.mac}
	rsaKey := rules.JWTKey{Alg: "RS256", Key: public(k.rsa)}
	der, err := x509.MarshalPKIXPublicKey(k.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	two := rule(rules.JWTKey{ID: "1", Alg: "HS256", Key: k.mac}, rules.JWTKey{ID: "2", Alg: "RS256", Key: public(k.rsa)})
	hs := func(change jwt.MapClaims) string {
		return signed(t, jwt.SigningMethodHS256, k.mac, "", claims(change))
	}
	none := signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", claims(nil))

	cases := []struct {
		name  string
		rule  *rules.JWT
		token string
		ok    bool
	}{
		{"HS256", rule(mac), hs(nil), true},
		{"RS256", rule(rsaKey), signed(t, jwt.SigningMethodRS256, k.rsa, "", claims(nil)), true},
		{"ES256", rule(rules.JWTKey{Alg: "ES256", Key: public(k.ec)}), signed(t, jwt.SigningMethodES256, k.ec, "", claims(nil)), true},
		{"EdDSA", rule(rules.JWTKey{Alg: "EdDSA", Key: public(k.ed)}), signed(t, jwt.SigningMethodEdDSA, k.ed, "", claims(nil)), true},
		{"none", rule(mac), none, false},
		{"none for RSA", rule(rsaKey), none, false},
		{"public key as a secret", rule(rsaKey), signed(t, jwt.SigningMethodHS256, asPEM, "", claims(nil)), false},
		{"public key as a secret, DER", rule(rsaKey), signed(t, jwt.SigningMethodHS256, der, "", claims(nil)), false},
		{"another algorithm of the key", rule(rsaKey), signed(t, jwt.SigningMethodRS512, k.rsa, "", claims(nil)), false},
		{"another secret", rule(mac), signed(t, jwt.SigningMethodHS256, []byte("x"), "", claims(nil)), false},
		{"cut", rule(mac), hs(nil)[:60], false},
		{"tampered", rule(mac), strings.Replace(hs(nil), ".", ".A", 1), false},
		{"expired", rule(mac), hs(jwt.MapClaims{"exp": noon.Add(-time.Minute).Unix()}), false},
		{"no expiry", rule(mac), hs(jwt.MapClaims{"exp": nil}), false},
		{"expiry that is no time", rule(mac), hs(jwt.MapClaims{"exp": "tomorrow"}), false},
		{"expiry beyond all time", rule(mac), hs(jwt.MapClaims{"exp": 1e300}), false},
		{"not yet", rule(mac), hs(jwt.MapClaims{"nbf": noon.Add(time.Minute).Unix()}), false},
		{"wrong issuer", rule(mac), hs(jwt.MapClaims{"iss": "evil"}), false},
		{"no issuer", rule(mac), hs(jwt.MapClaims{"iss": nil}), false},
		{"wrong audience", rule(mac), hs(jwt.MapClaims{"aud": "other"}), false},
		{"no audience", rule(mac), hs(jwt.MapClaims{"aud": nil}), false},
		{"no claim", rule(mac), hs(jwt.MapClaims{"sub": nil}), false},
		{"claim not a string", rule(mac), hs(jwt.MapClaims{"sub": 7}), false},
		{"claim empty", rule(mac), hs(jwt.MapClaims{"sub": ""}), false},
		{"kid 1", two, signed(t, jwt.SigningMethodHS256, k.mac, "1", claims(nil)), true},
		{"kid 2", two, signed(t, jwt.SigningMethodRS256, k.rsa, "2", claims(nil)), true},
		{"kid of the other key", two, signed(t, jwt.SigningMethodHS256, k.mac, "2", claims(nil)), false},
		{"algorithm of the other key", rule(rules.JWTKey{ID: "1", Alg: "HS512", Key: k.mac}, rules.JWTKey{ID: "2", Alg: "HS256", Key: k.mac}),
			signed(t, jwt.SigningMethodHS256, k.mac, "1", claims(nil)), false},
		{"unknown kid", two, signed(t, jwt.SigningMethodHS256, k.mac, "3", claims(nil)), false},
		{"no kid among two keys", two, hs(nil), false},
		{"a kid where the only key has none", rule(mac), signed(t, jwt.SigningMethodHS256, k.mac, "9", claims(nil)), true},
		{"another kid than the only key's", rule(rules.JWTKey{ID: "1", Alg: "HS256", Key: k.mac}), signed(t, jwt.SigningMethodHS256, k.mac, "9", claims(nil)), false},
	}
	for _, c := range cases {
		j := newJWTs()
		for range 2 { // the second time from memory
			account, f := j.account(headed(t, "Authorization: Bearer "+c.token), c.rule, noon)
			if c.ok && (account != "alice" || f != "") || !c.ok && (account != "" || f == "") {
				t.Errorf("%s: got %q, %q; want valid: %v", c.name, account, f, c.ok)
			}
		}
		if n := j.verified.Len(); n != btoi(c.ok) {
			t.Errorf("%s: %d tokens are remembered", c.name, n)
		}
	}
}

func TestTokensAreBelievedOnlyAsLongAndWhereTheyHold(t *testing.T) {
	k := newKeys(t)
	one := &rules.JWT{Header: "X-Token", Claim: "sub", Keys: []rules.JWTKey{{Alg: "HS256", Key: k.mac}}}
	other := &rules.JWT{Header: "X-Token", Claim: "sub", Keys: []rules.JWTKey{{Alg: "HS256", Key: []byte("another secret of more than 32 bytes")}}}
	h := headed(t, "X-Token: "+signed(t, jwt.SigningMethodHS256, k.mac, "", claims(nil)))
	j := newJWTs()
	for _, c := range []struct {
		rule *rules.JWT
		at   time.Time
		ok   bool
	}{
		{other, noon, false}, {one, noon, true}, {one, noon.Add(59 * time.Minute), true}, {other, noon, false},
		{one, noon.Add(time.Hour + time.Minute), false}, {one, noon, true},
	} {
		account, f := j.account(h, c.rule, c.at)
		if (account == "alice" && f == "") != c.ok {
			t.Errorf("at %s: got %q, %q; want valid: %v", c.at.Format(time.TimeOnly), account, f, c.ok)
		}
	}
}

func TestTokensThatAreNotThere(t *testing.T) {
	k := newKeys(t)
	token := signed(t, jwt.SigningMethodHS256, k.mac, "", claims(nil))
	key := []rules.JWTKey{{Alg: "HS256", Key: k.mac}}
	for _, c := range []struct {
		header string
		lines  []string
		want   string
		fault  bool
	}{
		{"Authorization", nil, "", false},
		{"Authorization", []string{"Authorization: Basic YTpi"}, "", false},
		{"Authorization", []string{"Authorization: Bearer"}, "", false},
		{"Authorization", []string{"authorization: bEARER  " + token}, "alice", false},
		{"Authorization", []string{"Authorization: " + token}, "", false},
		{"Authorization", []string{"Authorization: Bearer " + token, "Authorization: Basic YTpi"}, "", true},
		{"X-Token", []string{"X-Token: " + token}, "alice", false},
		{"X-Token", []string{"X-Token: Bearer " + token}, "alice", false},
		{"X-Token", []string{"X_Token: " + token}, "", false},
		{"X-Token", []string{"X-Token: " + token, "X_Token: " + token}, "", true},
		{"X-Token", []string{"X-Token:"}, "", false},
	} {
		account, f := newJWTs().account(headed(t, c.lines...), &rules.JWT{Header: c.header, Claim: "sub", Keys: key}, noon)
		if account != c.want || (f != "") != c.fault {
			t.Errorf("%.60q: got %q, %q; want %q, fault %v", c.lines, account, f, c.want, c.fault)
		}
	}
}
