//go:build slowhttptest

package conformance

// slowhttptest, a tool that attacks with slowness, in its four modes: the gateway, as a
// process of its own, must answer the tool's probes all the while. `make slowhttptest`
// installs it.

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const impatient = `
listen: "LISTEN"
admin: {listen: "127.0.0.1:0"}
client: {header: 3s, body: 3s, idle: 5s}
shutdown: {delay: 0s, timeout: 5s}
origin: {url: "http://ORIGIN", state_file: "", max_concurrency: 64}
`

const attackers = 600

var attacks = []struct {
	name string
	args []string
}{
	{"slow heads", []string{"-H", "-i", "1", "-x", "24"}},
	{"slow bodies", []string{"-B", "-i", "1", "-s", "100000", "-x", "10"}},
	{"ranges", []string{"-R", "-a", "5", "-b", "500", "-i", "1", "-t", "HEAD"}},
	{"slow reads", []string{"-X", "-w", "1", "-y", "8", "-n", "2", "-z", "8", "-k", "3"}},
}

func TestSlowhttptestLeavesTheServiceAvailable(t *testing.T) {
	page := strings.Repeat("<p>a page that is long enough not to fit into a window</p>", 5000)
	o := newOrigin(t, func(r *request) string {
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n", len(page))
		if r.method != "HEAD" {
			answer += page
		}
		return answer
	})
	addr := penstock(t, o.addr)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			prefix := filepath.Join(t.TempDir(), "report")
			args := append([]string{"-c", fmt.Sprint(attackers), "-r", "200", "-l", "15", "-p", "2", "-u", "http://" + addr + "/", "-g", "-o", prefix, "-v", "1"}, a.args...)
			cmd := exec.Command("slowhttptest", args...)
			timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
			defer timer.Stop()
			ended := make(chan bool)
			var ours sync.WaitGroup
			ours.Go(func() { customers(t, addr, ended) })
			out, err := cmd.CombinedOutput()
			close(ended)
			ours.Wait()
			if err != nil {
				t.Fatalf("slowhttptest: %v\n%s", err, out)
			}
			available(t, prefix+".csv", out)
		})
	}
}

// customers asks all the while for what an honest customer wants: most must get it, and
// all an answer.
func customers(t *testing.T, addr string, ended <-chan bool) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	told := map[int]int{}
	for {
		select {
		case <-ended:
			t.Logf("customers were told %v", told)
			if told[200] < 9*told[503] || told[200] == 0 {
				t.Errorf("customers were told %v", told)
			}
			return
		case <-tick.C:
			status, _, err := fetch(t, transport, addr, "GET /")
			if told[status]++; err != nil {
				t.Errorf("a customer got no answer: %v", err)
			}
		}
	}
}

// available reads the tool's report: a row a second, with how many connections are in
// which state, and whether its probe was answered.
func available(t *testing.T, report string, out []byte) {
	f, err := os.Open(report)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) < 3 {
		t.Fatalf("%d rows in the report, %v\n%s", len(rows), err, out)
	}
	last := rows[len(rows)-1]
	t.Logf("after %s s %s are closed and %s connected", last[0], last[1], last[3])
	most := 0
	for _, r := range rows[1:] {
		var closed, connected, service int
		fmt.Sscan(r[1], &closed)
		fmt.Sscan(r[3], &connected)
		fmt.Sscan(r[4], &service)
		most = max(most, closed+connected)
		if service == 0 {
			t.Errorf("second %s: the service does not answer (%s connected)", r[0], r[3])
		}
	}
	if most < attackers/10 {
		t.Errorf("only %d have connected: nothing is shown", most)
	}
}

// penstock builds and runs the binary, and answers where it listens.
func penstock(t *testing.T, origin string) (addr string) {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "penstock")
	if out, err := exec.Command("go", "build", "-o", binary, "penstock/cmd/penstock").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	free := loopback(t)
	addr = free.Addr().String()
	free.Close()
	config := filepath.Join(dir, "penstock.yaml")
	if err := os.WriteFile(config, []byte(strings.NewReplacer("LISTEN", addr, "ORIGIN", origin).Replace(impatient)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "run", "-config", config)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(5*time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		timer.Stop()
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("the gateway said: %s", said.String())
		}
	})
	listens(t, addr)
	return addr
}
