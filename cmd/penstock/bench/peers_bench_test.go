package bench

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// trial is one kind of request, and who is asked.
type trial struct {
	name, path string
	closing    bool
	by         []front
}

var trials = []trial{
	{"refusal", "/buy", false, []front{nginxRole(proxyRole), haproxyFront, bare, penstock(penstockPeer)}},
	{"forwarding", "/", false, []front{nginxRole(proxyRole), haproxyFront, penstock(penstockPeer)}},
	{"refusal, a connection per request", "/buy", true, []front{nginxRole(proxyRole), haproxyFront, bare, penstock(penstockPeer)}},
}

// BenchmarkPeers measures processor time per request. All are there at the same time, and
// rounds take turns, so that a noisy minute falls on all alike; what counts is the best
// round of each, because noise only adds.
func BenchmarkPeers(b *testing.B) {
	rounds, seconds := setInt(b, "PENSTOCK_ROUNDS", 8), setInt(b, "PENSTOCK_SECONDS", 2)
	r := newReport("PEERS.md", "What a request costs", "make bench-peers")
	r.line("")
	r.line("Processor time per request of the proxy alone, µs: the least of %d rounds of %d s; 64 connections. wrk, origin and proxy share the machine.", rounds, seconds)
	origin := nginxRole(originRole).start(b, "127.0.0.1:1")
	defer origin.stop()
	for _, t := range trials {
		b.Run(t.name, func(b *testing.B) {
			best := t.play(b, origin.addr, rounds, seconds)
			r.line("")
			r.line("## %s", strings.ToUpper(t.name[:1])+t.name[1:])
			r.line("")
			r.line("| | µs | Penstock to it |")
			r.line("|---|---|---|")
			for _, f := range t.by {
				r.line("| %s | %.2f | %.2f |", f.name, best[f.name], best["Penstock"]/best[f.name])
			}
		})
	}
	b.Run("idle", func(b *testing.B) {
		r.line("")
		r.line("## An idle connection")
		r.line("")
		r.line("Resident memory for each of %d connections that have had one refusal and lie idle for %v, bytes.", idle, settles)
		r.line("")
		r.line("| | bytes |")
		r.line("|---|---|")
		for _, f := range trials[0].by {
			s := f.start(b, origin.addr)
			r.line("| %s | %d |", f.name, perIdle(b, s))
			s.stop()
		}
	})
	r.write(b)
}

// play is the least that a request has cost each front, in microseconds.
func (t *trial) play(b *testing.B, origin string, rounds, seconds int) map[string]float64 {
	best := map[string]float64{}
	var servers []server
	for _, f := range t.by {
		s := f.start(b, origin)
		defer s.stop()
		servers = append(servers, s)
		first := "GET " + t.path + " HTTP/1.1\r\nHost: shop.example\r\nX-Account: a0\r\n\r\n"
		idlers(b, s.addr, first, 1)() // somebody else takes the unit
		t.perRequest(b, s, 1)         // pools fill
	}
	for range rounds {
		for i, f := range t.by {
			us := t.perRequest(b, servers[i], seconds)
			b.Logf("%s: %.2f µs", f.name, us)
			if least, ok := best[f.name]; !ok || us < least {
				best[f.name] = us
			}
		}
	}
	return best
}

const (
	idle    = 5000
	settles = 30 * time.Second
)

var (
	counted = regexp.MustCompile(`(\d+) requests in`)
	errored = regexp.MustCompile(`Socket errors:.*`)
)

// perRequest is the processor time of s for a request, in microseconds.
func (t *trial) perRequest(b *testing.B, s server, seconds int) float64 {
	b.Helper()
	args := []string{"-t1", "-c64", fmt.Sprintf("-d%ds", seconds), "-H", "X-Account: a1", "http://" + s.addr + t.path}
	if t.closing {
		args = append([]string{"-H", "Connection: close"}, args...)
	}
	before, _ := cost(b, s.pid)
	out, err := exec.Command("wrk", args...).CombinedOutput()
	after, _ := cost(b, s.pid)
	if err != nil {
		b.Fatalf("wrk: %v\n%s", err, out)
	}
	if e := errored.Find(out); e != nil {
		b.Logf("%s", e)
	}
	m := counted.FindSubmatch(out)
	if m == nil {
		b.Fatalf("wrk does not say how many:\n%s", out)
	}
	n, _ := strconv.Atoi(string(m[1]))
	if n == 0 {
		b.Fatal("no request was answered")
	}
	return (after - before) / float64(n) * 1e6
}

// perIdle is the memory of s for one idle connection, in bytes.
func perIdle(b *testing.B, s server) int64 {
	b.Helper()
	request := "GET /buy HTTP/1.1\r\nHost: shop.example\r\nX-Account: a1\r\n\r\n"
	idlers(b, s.addr, strings.Replace(request, "a1", "a0", 1), 1)()
	idlers(b, s.addr, request, 50)()
	_, before := cost(b, s.pid)
	closeAll := idlers(b, s.addr, request, idle)
	defer closeAll()
	<-time.After(settles)
	_, after := cost(b, s.pid)
	return (after - before) / idle
}
