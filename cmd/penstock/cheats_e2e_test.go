package main_test

// Cheats, against real gateways: bans that all of them hear of, terms, the ladder, the
// challenge that ends it, and the way from the log of decisions to a list that bans.

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"penstock/limiter/challenge/challengetest"
	"penstock/limiter/stock/stocktest"
	"penstock/proxy/gate"
)

const guards = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin: {url: "http://SHOP", concurrency: 4, max_concurrency: 4}
store: STORE
bans: {lists: [bans.txt]}
decisions: {file: decisions.log}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{header: X-Account}]
    stock: {units: 50}
    require: {terms: [{name: level, header: X-Level, at_least: 3}]}
    limits: {account: {rate: 1/s, burst: 2, in_flight: 1}, ip: {rate: 1000/s, burst: 1000, in_flight: 100}}
    challenge: {work: 1024, least: 0s}
    ladder: {strikes: {observe: 2, challenge: 4, ban: 12}, ignored_challenges: {observe: 2, ban: 8}, accounts_per_address: {observe: 0, challenge: 0}, accounts_per_network: {observe: 0, challenge: 0}}
  - name: gift
    match: {methods: [POST], path: /gift.php}
    account: [{header: X-Account}]
    challenge: {of: everyone, work: 1024, least: 0s}
`

// guarded is a gateway with bans.txt beside its file.
func guarded(t *testing.T, dir, shop, store string) *gateway {
	t.Helper()
	list(t, dir, "# nobody yet\n")
	return startGateway(t, write(t, dir, guards, "SHOP", shop, "STORE", store))
}

func list(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "bans.txt"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// told is an answer to a request for the unit.
type told struct {
	status int
	reason string
	puzzle struct {
		Token, Seed, Answer_url string
		Parts, Bits             int
	}
}

// asks asks for the unit as an account; more are a path, and header lines.
func asks(t *testing.T, g *gateway, account string, more ...string) (a told) {
	t.Helper()
	path := "/buy.php"
	if len(more) > 0 {
		if other, ok := strings.CutPrefix(more[0], "path: "); ok {
			path, more = other, more[1:]
		}
	}
	req, err := http.NewRequest("POST", "http://"+g.proxy+path, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Account", account)
	req.Header.Set("X-Level", "3")
	req.Header.Set("X-Forwarded-For", "203.0.113.9")
	for _, line := range more {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a.status, a.reason = resp.StatusCode, resp.Header.Get("Penstock-Reason")
	if a.reason == "challenge" {
		var p struct{ Challenge any }
		p.Challenge = &a.puzzle
		if err := json.Unmarshal(body, &p); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	}
	return a
}

// answers solves a puzzle at a gateway; "" and its words where that is not taken.
func answers(t *testing.T, g *gateway, a told) (proof, said string) {
	t.Helper()
	work := challengetest.Solve(gate.Puzzle{Seed: a.puzzle.Seed, Parts: a.puzzle.Parts, Bits: a.puzzle.Bits})
	req, err := http.NewRequest("POST", "http://"+g.proxy+a.puzzle.Answer_url, strings.NewReader(url.Values{"token": {a.puzzle.Token}, "work": {work}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Cleared string }
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%d %s: %v", resp.StatusCode, body, err)
	}
	return got.Cleared, string(body)
}

func TestCheatsOnTwoGatewaysAndRedis(t *testing.T) {
	s := startShop(t, "-stock=100", "-workers=20")
	store := `{redis: {addrs: ["` + stocktest.StartRedis(t).Addr + `"], timeout: 2s}}`
	one, two := guarded(t, t.TempDir(), s.addr, store), guarded(t, t.TempDir(), s.addr, store)
	banByHand(t, one, two)
	climb(t, one, two)
}

func TestCheatsOnEmbeddedStore(t *testing.T) {
	s := startShop(t, "-stock=100", "-workers=20")
	dir := t.TempDir()
	g := guarded(t, dir, s.addr, `{embedded: {path: penstock.db}}`)
	banByHand(t, g, g)
	climb(t, g, g)
	if a := asks(t, g, "low", "X-Level: 2"); a.reason != "not_eligible" {
		t.Errorf("below the terms: %+v", a)
	}
	if a := asks(t, g, "nobody", "X-Level: "); a.reason != "not_eligible" {
		t.Errorf("without a word about the terms: %+v", a)
	}
	minedAndBanned(t, g, dir)
	if code, said := operate(t, g, "ban", "add", "h:kept", "-for", "1h", "-why", "a test", "-by", "tester"); code != 0 {
		t.Fatalf("ban: %s", said)
	}
	g.signal(t, syscall.SIGTERM)
	g.wait(t)
	if again := startGateway(t, filepath.Join(dir, "penstock.yaml")); asks(t, again, "kept", "path: /gift.php").reason != "banned" {
		t.Error("a ban by hand did not outlive a restart")
	}
}

// banByHand: whom one gateway bans the other refuses within a second, and likewise back. They
// ask in a sale without a ladder, which would ban who asks so often.
func banByHand(t *testing.T, one, two *gateway) {
	t.Helper()
	for subject, asked := range map[string][]string{
		"h:mallory": {"mallory", "path: /gift.php"}, "198.51.100.0/24": {"anna", "path: /gift.php", "X-Forwarded-For: 198.51.100.77"},
	} {
		if code, said := operate(t, one, "ban", "add", subject, "-for", "1h", "-why", "sells them on", "-by", "tester"); code != 0 {
			t.Fatalf("ban add: %s", said)
		}
		since := time.Now()
		eventually(t, "the ban of "+subject, func() bool { return asks(t, two, asked[0], asked[1:]...).reason == "banned" })
		t.Logf("%s: in force elsewhere after %v", subject, time.Since(since))
		if code, said := operate(t, two, "ban", "list"); code != 0 || !strings.Contains(said, subject) || !strings.Contains(said, "sells them on") || !strings.Contains(said, "tester") {
			t.Errorf("ban list: %s", said)
		}
		if code, said := operate(t, two, "ban", "remove", subject, "-why", "it was somebody else", "-by", "tester"); code != 0 {
			t.Fatalf("ban remove: %s", said)
		}
		eventually(t, "the end of the ban of "+subject, func() bool { return asks(t, one, asked[0], asked[1:]...).reason != "banned" })
	}
}

// climb: who never stops is banned everywhere, with a reason, until somebody lifts that; and who
// is challenged answers once, at any gateway, and goes on at all of them.
func climb(t *testing.T, one, two *gateway) {
	t.Helper()
	const who = "flo"
	eventually(t, "the ban of who never stops", func() bool { return asks(t, one, who).reason == "banned" })
	if code, said := operate(t, one, "ban", "why", "-sale", "phone", "-account", "h:"+who); code != 0 || !strings.Contains(said, "strikes") || !strings.Contains(said, "stands at ban") {
		t.Errorf("ban why: %s", said)
	}
	eventually(t, "the same ban at the other", func() bool { return asks(t, two, who).reason == "banned" })
	if code, said := operate(t, two, "ban", "remove", "h:"+who, "-why", "a slip", "-by", "tester"); code != 0 {
		t.Fatalf("ban remove: %s", said)
	}
	for _, g := range []*gateway{two, one} {
		eventually(t, "the end of the ban", func() bool { return asks(t, g, who).reason != "banned" })
	}

	a := asks(t, one, "gina", "path: /gift.php")
	if a.reason != "challenge" {
		t.Fatalf("where everyone is challenged: %+v", a)
	}
	proof, said := answers(t, two, a)
	if proof == "" {
		t.Fatalf("the answer at another gateway: %s", said)
	}
	if twice, _ := answers(t, one, a); twice != "" {
		t.Error("one challenge was answered twice")
	}
	for _, g := range []*gateway{one, two} {
		if b := asks(t, g, "somebody else", "path: /gift.php", "Penstock-Cleared: "+proof); b.reason != "challenge" {
			t.Errorf("another account's proof: %+v", b)
		}
		if b := asks(t, g, "gina", "path: /gift.php", "Penstock-Cleared: "+proof); b.reason == "challenge" {
			t.Errorf("the proof: %+v", b)
		}
	}
}

// minedAndBanned: the log of decisions is mined, the list that comes of it loaded.
func minedAndBanned(t *testing.T, g *gateway, dir string) {
	t.Helper()
	log := filepath.Join(dir, "decisions.log")
	eventually(t, "decisions in the log", func() bool {
		text, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(text), `"acct":"h:flo"`) && strings.Contains(string(text), `"reason":"not_eligible"`)
	})
	code, said := operateAlone(t, "mine", "-format", "list", "-min", "1", "-quiet", log)
	if code != 0 || !strings.Contains(said, "h:mallory,score=") {
		t.Fatalf("mine: %d %s", code, said)
	}
	list(t, dir, said)
	g.signal(t, syscall.SIGHUP)
	eventually(t, "the list in force", func() bool { return asks(t, g, "mallory", "path: /gift.php").reason == "banned" })
	if a := asks(t, g, "nobody else"); a.reason == "banned" {
		t.Errorf("whom the list does not name: %+v", a)
	}
}

// operateAlone runs a command that asks no gateway; what it says on stderr is left out.
func operateAlone(t *testing.T, words ...string) (code int, said string) {
	t.Helper()
	cmd := exec.Command(penstock, words...)
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatalf("run %v: %v", words, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}
