package config

// Keys of tokens that others sign. The algorithm is pinned to the key here, never
// taken from a token, so that a public key cannot be passed off as a secret. Keys are
// read from files only: fetching them would make the login of a sale depend on
// somebody else's server at the worst moment.

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"penstock/rules"
)

// jwt reads which tokens are believed.
func jwt(v value) *rules.JWT {
	if v.node == nil {
		return nil
	}
	j := &rules.JWT{Header: v.at("header").token(), Issuer: v.at("issuer").text(), Audience: v.at("audience").text()}
	if claim := v.at("claim"); claim.require("claim: sub") {
		j.Claim = claim.text()
	}
	at, ok := v.oneOf("key_file", "jwks_file")
	if !ok {
		return j
	}
	raw, ok := at.beside(maxBeside)
	if !ok {
		return j
	}
	parse, right := keyFile, "put a PEM public key in it (RSA from 2048 bits, P-256, P-384 or Ed25519), or a secret of at least 32 random bytes"
	if at.key.name == "jwks_file" {
		parse, right = keySet, `put a JSON Web Key Set in it: {"keys": [...]}`
	}
	keys, err := parse(raw)
	if err != nil {
		at.fault(badKeyFile, at.node.Value, err, right)
	}
	j.Keys = keys
	return j
}

// keyFile reads a PEM public key or a raw secret.
func keyFile(raw []byte) ([]rules.JWTKey, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		if strings.Contains(string(raw), "-----BEGIN") {
			return nil, errors.New("broken PEM")
		}
		if len(raw) < minSecret {
			return nil, fmt.Errorf("no PEM, and %d bytes are too few for a secret", len(raw))
		}
		return []rules.JWTKey{{Alg: "HS256", Key: raw}}, nil
	}
	if strings.Contains(block.Type, "PRIVATE") {
		return nil, errors.New("a private key, which does not belong on a gateway")
	}
	var key any
	var err error
	if block.Type == "RSA PUBLIC KEY" {
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	} else {
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("parse %s: not a public key", strings.ToLower(block.Type))
	}
	algs := algorithms(key)
	if len(algs) == 0 {
		return nil, errors.New("a kind of key that is not supported, or too short")
	}
	return []rules.JWTKey{{Alg: algs[0], Key: key}}, nil
}

// algorithms lists what a key may be used with (RFC 7518, 3.1; RFC 8037), the one
// that is taken where none is named first; none: the key is not used.
func algorithms(key any) []string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []string{"ES256"}
		case elliptic.P384():
			return []string{"ES384"}
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	case []byte:
		if len(k) >= minSecret {
			return []string{"HS256", "HS384", "HS512"}
		}
	}
	return nil
}

// jwk is one key of a set (RFC 7517).
type jwk struct {
	Kty, Kid, Alg, Use, Crv string
	N, E, X, Y, K           string
}

// keySet reads a JSON Web Key Set. Keys for encryption and of kinds that are not
// supported are passed over, as RFC 7517 (5) asks; broken ones are not.
func keySet(raw []byte) ([]rules.JWTKey, error) {
	var set struct{ Keys []jwk }
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, errors.New("not the JSON of a key set")
	}
	var keys []rules.JWTKey
	for i, k := range set.Keys {
		if k.Use != "" && k.Use != "sig" {
			continue
		}
		key, err := k.key()
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		algs := algorithms(key)
		if len(algs) == 0 {
			continue
		}
		if k.Alg == "" {
			k.Alg = algs[0]
		}
		switch {
		case !slices.Contains(algs, k.Alg):
			return nil, fmt.Errorf("key %d: not a key for %s", i, k.Alg)
		case slices.ContainsFunc(keys, func(other rules.JWTKey) bool { return other.ID == k.Kid }):
			return nil, fmt.Errorf("key %d: kid %q stands twice", i, k.Kid)
		}
		keys = append(keys, rules.JWTKey{ID: k.Kid, Alg: k.Alg, Key: key})
	}
	if len(keys) == 0 {
		return nil, errors.New("no key for signatures")
	}
	return keys, nil
}

// key is the key itself; nil for a kind that is not supported.
func (k *jwk) key() (any, error) {
	broken := errors.New("broken " + k.Kty + " key")
	switch k.Kty + k.Crv {
	case "RSA":
		n, e := number(k.N), number(k.E)
		if n == nil || e == nil || !e.IsInt64() || e.Int64() < 3 || e.Int64() >= 1<<31 {
			return nil, broken
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
	case "ECP-256", "ECP-384":
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384()}[k.Crv]
		x, errX := base64.RawURLEncoding.DecodeString(k.X)
		y, errY := base64.RawURLEncoding.DecodeString(k.Y)
		point := slices.Concat([]byte{4}, x, y) // uncompressed: SEC 1, 2.3.3
		pub, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		if len(x) != len(y) || errors.Join(errX, errY, err) != nil {
			return nil, broken
		}
		return pub, nil
	case "OKPEd25519":
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, broken
		}
		return ed25519.PublicKey(x), nil
	case "oct":
		secret, err := base64.RawURLEncoding.DecodeString(k.K)
		if err != nil || len(secret) < minSecret {
			return nil, broken
		}
		return secret, nil
	}
	return nil, nil
}

func number(s string) *big.Int {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(raw) == 0 {
		return nil
	}
	return new(big.Int).SetBytes(raw)
}
