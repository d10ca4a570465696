package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"penstock/limiter/stock"
	"penstock/limiter/stock/embedded"
	"penstock/proxy/gate"
	"penstock/rules"
)

// crashFile makes this test binary the process that is killed.
const crashFile = "STOCK_CRASH_FILE"

// sellUntilKilled takes, starts and sells as fast as it can, and says so after each answer.
func sellUntilKilled(path string) {
	ctx := context.Background()
	store, err := embedded.Open(path)
	if err == nil {
		_, _, err = store.Load(ctx, stock.Loading{Ledger: "sale", Items: map[string]int{"red": 1_000_000}, Terms: terms})
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	first := int(time.Now().UnixNano() >> 10 & 0xffff00) // tokens of their own for each run
	var said sync.Mutex
	say := func(what string, n int) {
		said.Lock()
		defer said.Unlock()
		fmt.Println(what, n)
	}
	for worker := range 16 {
		go func() {
			for n := first + worker; ; n += 16 {
				a := ask(fmt.Sprint("account ", n), n)
				if d, err := store.Decide(ctx, a); err != nil || d.Reason != gate.Admitted {
					continue
				}
				say("reserved", n)
				if r, err := store.Start(ctx, stock.Launch{Ledger: "sale", Token: a.Token, By: a.Token}); r != gate.Admitted || err != nil {
					continue
				}
				say("sending", n)
				if n%2 == 0 && store.Settle(ctx, stock.Settlement{Ledger: "sale", Token: a.Token, Outcome: rules.OutcomeSold}) == nil {
					say("sold", n)
				}
			}
		}()
	}
	select {}
}

// killed runs sellUntilKilled until it has said enough, and returns all it has said.
func killed(t *testing.T, path string) map[int]string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+path)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	acked := make(map[int]string)
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			break // a line cut short was not said
		}
		var what string
		var token int
		if _, err := fmt.Sscan(line, &what, &token); err != nil {
			t.Errorf("the process to be killed said %q", line)
			break
		}
		acked[token] = what
		if len(acked) == 300 {
			cmd.Process.Kill()
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	return acked
}

func TestSurvivesKill(t *testing.T) {
	path := file(t)
	acked := make(map[int]string)
	for range 3 {
		for token, what := range killed(t, path) {
			acked[token] = what
		}
		d := desk{t, open(t, path)}
		d.acked(acked)
		d.store.Close()
	}
}

// acked checks that nothing that was said is lost.
func (d desk) acked(acked map[int]string) {
	d.Helper()
	sum := d.look(0).Items["red"]
	if sum.Free+sum.Reserved+sum.Held+sum.Sold != sum.Loaded || sum.Sending != 0 {
		d.Fatalf("after a kill: %+v does not add up, or is sending", sum)
	}
	said := make(map[string]int)
	for n, what := range acked {
		said[what]++
		found, _, err := d.store.Entries(d.Context(), stock.Query{Ledger: "sale", Token: token(n)})
		if err != nil || len(found) != 1 || found[0].Account != fmt.Sprint("account ", n) {
			d.Fatalf("token %d was %s; now there is %+v, %v", n, what, found, err)
		}
		switch state := found[0].State; {
		case what == "sold" && state != stock.Sold, what == "sending" && state != stock.Held && state != stock.Sold:
			d.Fatalf("token %d was %s, and is %v", n, what, state)
		}
	}
	if said["sold"] == 0 || said["sending"] == 0 {
		d.Fatalf("what was said: %v, want some sent and some sold", said)
	}
}
