package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	benchConns  = 32 // at each
	benchRounds = 15
	benchRound  = time.Second
	benchAsk    = "POST /buy.php HTTP/1.1\r\nHost: shop.example\r\nCookie: customer=%d\r\nContent-Length: 0\r\n\r\n"
)

// sameLines reports whether two heads have the same lines, in whatever order.
func sameLines(a, b string) bool {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// BenchmarkRefusedRequest measures the processor time that the whole binary spends on a
// request for something sold out, beside a bare fasthttp server that answers the same
// bytes, both under the same load at the same time: machines are noisy, and only the
// ratio says something.
func BenchmarkRefusedRequest(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchRefusal(b, "", "") })
	b.Run("against-cheats", func(b *testing.B) { benchRefusal(b, benchListed, benchGuarded) })
}

// All that stands against cheats: at the top of the file, and in the sale.
const (
	benchListed = `bans: {lists: [bans.txt]}
decisions: {size: 64MiB, files: 2}
`
	benchGuarded = `    opens: "2020-01-01T00:00:00Z"
    require: {terms: [{name: not listed, list: suspects.txt, listed: false}]}
    challenge: {}
    ladder: {}
    behaviour: {page: "/p/**"}
`
)

// benchLists are a hundred thousand networks that are banned, and as many accounts that may
// not take part.
func benchLists(b *testing.B, dir string) {
	b.Helper()
	var networks, accounts strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&networks, "10.%d.%d.%d\n", i>>16, i>>8&255, i&255)
		fmt.Fprintf(&accounts, "c:suspect%d\n", i)
	}
	for name, text := range map[string]string{"bans.txt": networks.String(), "suspects.txt": accounts.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

func benchRefusal(b *testing.B, top, sale string) {
	dir := b.TempDir()
	benchLists(b, dir)
	gateway, gatewayAddr := benchGateway(b, dir, top, sale)
	answer := benchAnswer(b, gatewayAddr)
	bare, bareAddr := benchBare(b, dir, answer)
	if got := benchAnswer(b, bareAddr); !sameLines(got.head, answer.head) || got.body != answer.body {
		b.Fatalf("the yardstick answers\n%s%s, not\n%s%s", got.head, got.body, answer.head, answer.body)
	}
	size := len(answer.raw)
	var ours, theirs, ratios []float64
	for range benchRounds {
		var t, o float64
		var both sync.WaitGroup
		both.Go(func() { t = benchLoad(b, bare, bareAddr, size) })
		both.Go(func() { o = benchLoad(b, gateway, gatewayAddr, size) })
		both.Wait()
		ours, theirs, ratios = append(ours, o), append(theirs, t), append(ratios, o/t)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(ours), "cpu-µs/refusal")
	b.ReportMetric(median(theirs), "bare-cpu-µs")
	b.ReportMetric(median(ratios), "ratio")
	b.Logf("ratio by round, sorted: %.2f", slices.Sorted(slices.Values(ratios)))
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// benchGateway starts a gateway whose only unit has been sold, with more in its file.
func benchGateway(b *testing.B, dir, top, sale string) (pid int, addr string) {
	b.Helper()
	binary := filepath.Join(dir, "penstock")
	benchBuild(b, binary, ".")
	shop, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	origin := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) })}
	go origin.Serve(shop)
	b.Cleanup(func() { origin.Close() })
	file := filepath.Join(dir, "penstock.yaml")
	text := fmt.Sprintf(`listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
origin: {url: "http://%s"}
store: {embedded: {path: penstock.db}}
%ssales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{cookie: customer}]
    stock: {units: 1}
    limits:
      ip: {rate: 100000/s, burst: 100000, in_flight: 10000}
      account: {rate: 100000/s, burst: 100000, in_flight: 10000}
%s`, shop.Addr(), top, sale)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(binary, "run", "-config", file)
	log, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	benchStart(b, cmd)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if _, rest, ok := strings.Cut(lines.Text(), `"proxy":"`); ok {
			addr, _, _ = strings.Cut(rest, `"`)
			break
		}
	}
	go io.Copy(io.Discard, log)
	benchBuy(b, addr, "early")
	for !strings.Contains(benchAnswer(b, addr).raw, `"final":true`) { // until the winner has settled
	}
	return cmd.Process.Pid, addr
}

func benchBuy(b *testing.B, addr, account string) {
	b.Helper()
	req, err := http.NewRequest("POST", "http://"+addr+"/buy.php", nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Cookie", "customer="+account)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != 201 {
		b.Fatalf("buy the only unit: %v, %v", resp, err)
	}
	resp.Body.Close()
}

type recorded struct{ raw, head, body string }

// benchAnswer asks once, as the load does.
func benchAnswer(b *testing.B, addr string) (a recorded) {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, benchAsk, 1)
	var seen bytes.Buffer
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(c, &seen)), nil)
	if err != nil {
		b.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	a.raw, a.body = seen.String(), string(body)
	for _, line := range strings.Split(strings.TrimSuffix(a.raw, a.body), "\r\n") {
		if !strings.HasPrefix(line, "Date: ") && line != "" {
			a.head += line + "\n"
		}
	}
	return a
}

// benchBare starts the yardstick with the gateway's own answer.
func benchBare(b *testing.B, dir string, a recorded) (pid int, addr string) {
	b.Helper()
	binary := filepath.Join(dir, "bare")
	benchBuild(b, binary, "./testdata/bare")
	lines := strings.Split(strings.TrimSpace(a.head), "\n")
	status := strings.Fields(lines[0])[1]
	headers := slices.DeleteFunc(lines[1:], func(l string) bool { return strings.HasPrefix(l, "Content-Length: ") })
	cmd := exec.Command(binary, "-status", status, "-headers", strings.Join(headers, "\n"), "-body", a.body)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	benchStart(b, cmd)
	addr, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return cmd.Process.Pid, strings.TrimSpace(addr)
}

func benchBuild(b *testing.B, binary, pkg string) {
	b.Helper()
	if out, err := exec.Command("go", "build", "-o", binary, pkg).CombinedOutput(); err != nil {
		b.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
}

func benchStart(b *testing.B, cmd *exec.Cmd) {
	b.Helper()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

// benchLoad keeps a server busy for a round and answers its processor time per request
// in microseconds, user and system.
func benchLoad(b *testing.B, pid int, addr string, size int) float64 {
	b.Helper()
	var n atomic.Int64
	var wg sync.WaitGroup
	before, end := cpuTime(b, pid), time.Now().Add(benchRound)
	for i := range benchConns {
		wg.Go(func() {
			// People come from addresses of their own.
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i))}}
			buf, ask, done := make([]byte, size), fmt.Appendf(nil, benchAsk, i), int64(0)
			for time.Now().Before(end) {
				c, err := from.Dial("tcp", addr)
				for range 900 { // at 1,000 the gateway ends a connection
					if err == nil {
						_, err = c.Write(ask)
					}
					if err == nil {
						_, err = io.ReadFull(c, buf)
					}
					if err != nil {
						b.Error(err)
						return
					}
					done++
				}
				c.Close()
			}
			n.Add(done)
		})
	}
	wg.Wait()
	return (cpuTime(b, pid) - before).Seconds() * 1e6 / float64(n.Load())
}

// cpuTime is the processor time all threads of a process have used, in nanoseconds by
// the scheduler's own count.
func cpuTime(b *testing.B, pid int) (total time.Duration) {
	b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		b.Fatalf("read /proc: %d threads, %v", len(threads), err)
	}
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // a thread that has just ended
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		total += time.Duration(ns)
	}
	return total
}
