package config

// Where requests and stock go. Nothing is connected to and no name is looked up: a
// file is right or wrong wherever it is read.

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"penstock/rules"
)

// What the origin may be given.
const (
	shortest  = time.Millisecond
	maxSlots  = 100_000
	maxPlaces = 1_000_000
	maxSocket = 107 // bytes of a Unix socket's path
)

// origin reads the shop and its queue. The origin is required, but where it is missing
// its defaults still serve to check the sales.
func origin(v value) rules.Origin {
	queue, winners, timeout := v.at("queue"), v.at("winners"), v.at("timeout")
	o := rules.Origin{
		Host:            originHost(v.at("host")),
		StateFile:       v.at("state_file").fileOrNone(),
		MaxConcurrency:  v.at("max_concurrency").integer(1, maxSlots),
		LatencyTarget:   v.at("latency_target").duration(shortest),
		QueueDepth:      queue.at("depth").integer(0, maxPlaces),
		QueueMaxWait:    queue.at("max_wait").duration(shortest),
		WinnersDepth:    winners.at("depth").autoOr(1, maxPlaces),
		WinnersMaxWait:  winners.at("max_wait").duration(shortest),
		ConnectTimeout:  timeout.at("connect").duration(shortest),
		ResponseTimeout: timeout.at("response").duration(shortest),
		IdleBodyTimeout: timeout.at("idle_body").duration(shortest),
	}
	o.TLS, o.AnyCert = originTLS(v.at("tls"))
	o.Concurrency, o.ObserveConcurrency = v.at("concurrency").concurrency()
	if v.require(`origin: {url: "http://127.0.0.1:8081"}`) && (v.node == nil || v.at("url").require(`"http://127.0.0.1:8081"`)) {
		v.reach(&o)
	}
	if o.Concurrency > o.MaxConcurrency {
		v.at("concurrency").fault(tooMuch, fmt.Sprint(o.Concurrency), fmt.Sprintf("origin.max_concurrency (%d)", o.MaxConcurrency), fmt.Sprint(o.MaxConcurrency))
	}
	if o.LatencyTarget > o.ResponseTimeout {
		most := spell(o.ResponseTimeout)
		v.at("latency_target").fault(tooMuch, spell(o.LatencyTarget), "origin.timeout.response ("+most+")", most)
	}
	return o
}

// concurrency reads a number, "auto", which is 0, or "observe", which is 0 that is not enforced.
func (v value) concurrency() (n int, observe bool) {
	if v.node != nil && v.node.Kind == yaml.ScalarNode && (v.node.Value == "auto" || v.node.Value == "observe") {
		return 0, v.node.Value == "observe"
	}
	read := func() int64 { return int64(bare(v, notConcurrency, parseInteger)) }
	return int(v.within(1, maxSlots, read, func(n int64) string { return fmt.Sprint(n) })), false
}

// fileOrNone reads the name of a file that we write; "" says that there shall be none.
func (v value) fileOrNone() string {
	if v.node != nil && v.node.Kind == yaml.ScalarNode && v.node.Value == "" {
		return ""
	}
	if name := v.text(); name != "" {
		return v.r.path(name)
	}
	return ""
}

// originHost reads what the origin is told as Host; "" keeps the client's.
func originHost(v value) string {
	return one(v, notHost, func(s string) (string, bool) {
		if s == "preserve" {
			return "", true
		}
		host, port, found := strings.Cut(s, ":")
		_, ok := parseInteger(port)
		return s, hostForm.MatchString(host) && (ok || !found)
	})
}

// reach reads where the origin listens, and sees to it that tls goes with that.
func (v value) reach(o *rules.Origin) {
	network, address, secure := originURL(v.at("url"))
	o.Network, o.Address = network, address
	switch {
	case secure && o.TLS == nil:
		o.TLS = &rules.ServerTLS{}
	case !secure && o.TLS != nil:
		if network != "" {
			v.at("tls").fault(needsHTTPS, v.at("url").node.Value)
		}
		o.TLS = nil
	}
	if o.TLS != nil && o.TLS.ServerName == "" {
		o.TLS.ServerName, _, _ = net.SplitHostPort(address)
	}
}

// originTLS reads how the origin is known.
func originTLS(v value) (t *rules.ServerTLS, anybody bool) {
	if t = serverTLS(v); t == nil {
		return nil, false
	}
	anybody = v.at("insecure_skip_verify").boolean()
	if anybody && t.Roots != nil {
		v.at("insecure_skip_verify").fault(nobodyKnown, "ca")
	}
	return t, anybody
}

// originURL reads where the origin listens; secure: by TLS.
func originURL(v value) (network, address string, secure bool) {
	s := v.text()
	if s == "" {
		return "", "", false
	}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if !filepath.IsAbs(path) || len(path) > maxSocket {
			v.fault(notOrigin, s)
		}
		return "unix", path, false
	}
	u, err := url.Parse(s)
	if err == nil && (s == u.Scheme+"://"+u.Host || s == u.Scheme+"://"+u.Host+"/") {
		if port := defaultPort[u.Scheme]; port != "" {
			if address, ok := withPort(u, port); ok {
				return "tcp", address, u.Scheme == "https"
			}
		}
	}
	v.fault(notOrigin, s)
	return "", "", false
}

var defaultPort = map[string]string{"http": "80", "https": "443"}

// withPort gives the host and port of a URL, its scheme's port where it names none.
func withPort(u *url.URL, port string) (string, bool) {
	if u.Port() != "" || strings.HasSuffix(u.Host, ":") {
		port = u.Port()
	}
	n, ok := parseInteger(port)
	_, err := netip.ParseAddr(u.Hostname())
	return net.JoinHostPort(u.Hostname(), port), ok && n > 0 && n <= 65535 && (err == nil || hostForm.MatchString(u.Hostname()))
}

// clash reports whether two addresses cannot both be listened on.
func clash(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	return errA == nil && errB == nil && portA == portB && portA != "0" && (hostA == hostB || everywhere(hostA) || everywhere(hostB))
}

func everywhere(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

// store reads the one store; with none or both it is empty, and that is told.
func store(v value) rules.Store {
	var s rules.Store
	if v.node == nil {
		return s
	}
	chosen, ok := v.oneOf("embedded", "redis")
	embedded := v.at("embedded")
	if path := embedded.at("path"); embedded.node != nil && path.require("penstock.db") && path.text() != "" {
		s.Embedded = v.r.path(path.text())
	}
	if redis := v.at("redis"); redis.node != nil {
		s.Redis = redisServers(redis)
	}
	if !ok || chosen.node == nil {
		return rules.Store{}
	}
	return s
}

func (v value) prefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, e := range v.entries() {
		all = append(all, e.prefix())
	}
	return all
}
