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
	benchConns  = 64
	benchRounds = 7
	benchRound  = 2 * time.Second
	benchAsk    = "POST /buy.php HTTP/1.1\r\nHost: shop\r\nX-Account: late\r\nContent-Length: 0\r\n\r\n"
)

// BenchmarkRefusedRequest measures the processor time that the whole binary spends on a
// request for something sold out, beside a bare fasthttp server that answers the same
// bytes, in turns: machines are noisy, and only the ratio of one run says something.
func BenchmarkRefusedRequest(b *testing.B) {
	dir := b.TempDir()
	gateway, gatewayAddr := benchGateway(b, dir)
	answer := benchAnswer(b, gatewayAddr)
	bare, bareAddr := benchBare(b, dir, answer)
	if got := benchAnswer(b, bareAddr); got.head != answer.head || got.body != answer.body {
		b.Fatalf("the yardstick answers\n%s%s, not\n%s%s", got.head, got.body, answer.head, answer.body)
	}
	size := len(answer.raw)
	var ours, theirs, ratios []float64
	for range benchRounds {
		t := benchLoad(b, bare, bareAddr, size)
		o := benchLoad(b, gateway, gatewayAddr, size)
		ours, theirs, ratios = append(ours, o), append(theirs, t), append(ratios, o/t)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(ours), "cpu-µs/refusal")
	b.ReportMetric(median(theirs), "bare-cpu-µs")
	b.ReportMetric(median(ratios), "ratio")
	b.Logf("ratio by round: %.2f", ratios)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// benchGateway starts a gateway whose only unit has been sold.
func benchGateway(b *testing.B, dir string) (pid int, addr string) {
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
trusted_proxies: ["127.0.0.0/8"]
origin: {url: "http://%s"}
store: {embedded: {path: penstock.db}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 1}
    limits:
      ip: {rate: 100000/s, burst: 100000, in_flight: 10000}
      account: {rate: 100000/s, burst: 100000, in_flight: 10000}
`, shop.Addr())
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
	req.Header.Set("X-Account", account)
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
	fmt.Fprint(c, benchAsk)
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
	for range benchConns {
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			buf, ask, done := make([]byte, size), []byte(benchAsk), int64(0)
			for time.Now().Before(end) {
				if _, err := c.Write(ask); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					b.Error(err)
					return
				}
				done++
			}
			n.Add(done)
		})
	}
	wg.Wait()
	return float64((cpuTime(b, pid) - before).Microseconds()) / float64(n.Load())
}

// cpuTime is what a process has used so far, by /proc/PID/stat in ticks of 10 ms.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		b.Fatal("read /proc: not numbers")
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
