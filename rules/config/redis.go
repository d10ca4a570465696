package config

// The Redis servers that keep stock. How they stand together is said in the file and
// never guessed. Certificates are read here, once, so that a file that is not there is
// found before the sale and not when a connection is lost. Whether a certificate has
// run out is not asked: that depends on the time.

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"regexp"
	"slices"
	"strings"

	"penstock/rules"
)

// What Redis may be given.
const (
	maxDatabases = 1024
	maxReplicas  = 10
)

var keyPrefixForm = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// redisModes are the words of rules.RedisMode, in its order.
var redisModes = []string{"single", "sentinel", "cluster"}

// redisServers reads where they are and how they are reached.
func redisServers(v value) *rules.Redis {
	password, _ := v.at("password_file").beside(maxBeside)
	s := &rules.Redis{
		Mode:        rules.RedisMode(v.at("mode").choice(redisModes...)),
		MasterName:  v.at("master_name").text(),
		Username:    v.at("username").text(),
		Password:    string(password),
		DB:          v.at("db").integer(0, maxDatabases),
		TLS:         serverTLS(v.at("tls")),
		KeyPrefix:   one(v.at("key_prefix"), notKeyPrefix, func(s string) (string, bool) { return s, keyPrefixForm.MatchString(s) }),
		Timeout:     v.at("timeout").duration(shortest),
		ReplicasAck: v.at("replicas_ack").integer(0, maxReplicas),
	}
	if name := v.at("state_file").text(); name != "" {
		s.StateFile = v.r.path(name)
	}
	addrs := v.at("addrs")
	addrs.require(`["127.0.0.1:6379"]`)
	for _, a := range addrs.some() {
		addr := a.hostPort(false)
		if addr != "" && slices.Contains(s.Addrs, addr) {
			a.fault(repeated, addr)
		}
		s.Addrs = append(s.Addrs, addr)
	}
	v.checkMode(s)
	return s
}

// checkMode tells what does not go with the mode, unless that itself is not right.
func (v value) checkMode(s *rules.Redis) {
	if !slices.Contains(redisModes, v.at("mode").text()) {
		return
	}
	master := v.at("master_name")
	switch {
	case s.Mode == rules.RedisSingle && len(s.Addrs) > 1:
		v.at("addrs").fault(oneServer, len(s.Addrs))
	case s.Mode == rules.RedisCluster && s.DB != 0:
		v.at("db").fault(clusterDatabase, s.DB)
	}
	switch sentinel := s.Mode == rules.RedisSentinel; {
	case sentinel && s.MasterName == "":
		master.fault(missing, "the name the sentinels know the primary by: mymaster")
	case !sentinel && s.MasterName != "":
		master.fault(needlessHere, redisModes[s.Mode], "sentinel")
	}
}

// serverTLS reads how servers are known that we connect to; an empty block is TLS with
// the roots of the system.
func serverTLS(v value) *rules.ServerTLS {
	if v.node == nil {
		return nil
	}
	t := &rules.ServerTLS{}
	if name := v.at("server_name"); name.text() != "" {
		t.ServerName = name.host()
	}
	if ca := v.at("ca"); ca.text() != "" {
		t.Roots = x509.NewCertPool()
		_, certs := ca.certificates()
		for _, c := range certs {
			t.Roots.AddCert(c)
		}
	}
	cert, key := v.at("cert"), v.at("key")
	switch {
	case cert.text() == "" && key.text() != "":
		cert.fault(missing, "the file of the certificate that key belongs to")
	case cert.text() != "" && key.text() == "":
		key.fault(missing, "the file of the private key of cert")
	case cert.text() != "":
		t.Cert = keyPair(cert, key)
	}
	return t
}

// keyPair reads the certificate that is shown to the servers.
func keyPair(cert, key value) []tls.Certificate {
	chain, certs := cert.certificates()
	private, ok := key.beside(maxBeside)
	if !ok || len(certs) == 0 {
		return nil
	}
	pair, err := tls.X509KeyPair(chain, private)
	if err != nil {
		why := "no private key that can be read"
		if strings.Contains(err.Error(), "match") {
			why = "it belongs to another certificate"
		}
		key.fault(badKeyFile, key.node.Value, why, "put the PEM private key of cert in it, unencrypted")
		return nil
	}
	return []tls.Certificate{pair}
}

// certificates reads a file of PEM certificates; none if it has a fault.
func (v value) certificates() (raw []byte, all []*x509.Certificate) {
	raw, ok := v.beside(maxBeside)
	if !ok {
		return nil, nil
	}
	all, err := parseCertificates(raw)
	if err != nil {
		v.fault(badCert, v.node.Value, err)
	}
	return raw, all
}

func parseCertificates(raw []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for rest := raw; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("there is a " + strings.ToLower(block.Type) + " in it")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("a broken certificate")
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("no PEM")
	}
	return all, nil
}
