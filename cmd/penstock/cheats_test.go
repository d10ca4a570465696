package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
	"penstock/rules/config"
	"penstock/shedder"
)

// TestWorkGrowsWithTheQueueInUse: a queue is as full as the rules in use say, also after a
// reload that makes it longer.
func TestWorkGrowsWithTheQueueInUse(t *testing.T) {
	set := func(depth int) *rules.Set {
		file := filepath.Join(t.TempDir(), "penstock.yaml")
		text := fmt.Sprintf(`
listen: "127.0.0.1:0"
origin: {url: "http://127.0.0.1:1", queue: {depth: %d}}
sales: [{name: phone, match: {path: /buy}, account: [{visitor: true}], challenge: {of: everyone}}]
`, depth)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	short := set(10)
	full := func() shedder.Stats { return shedder.Stats{Waiting: [rules.Priorities]int{rules.Order: 10}} }
	c, err := newCheats(t.Context(), short, make([]byte, 32), nil, full, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	work := func() int {
		p := c.desk.Puzzle(&gate.Facts{At: time.Now(), Account: "v:a", Sale: short.Sales[0]}, "")
		return p.Parts << p.Bits
	}
	before := work()
	c.use(set(1000))
	if after := work(); after >= before {
		t.Errorf("%d hashes are asked for with a full queue, and %d when it is a hundredth full", before, after)
	}
}
