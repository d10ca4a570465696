package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/token"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/rules"
	"penstock/shedder"
)

// reasons are those the shedder has: its exported constants that are text.
func reasons(t *testing.T) (all []string) {
	t.Helper()
	for _, s := range sources(t) {
		if s.dir != "shedder" || s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || len(v.Values) != 1 || !v.Names[0].IsExported() {
				return true
			}
			if text, ok := v.Values[0].(*ast.BasicLit); ok && text.Kind == token.STRING {
				reason, _ := strconv.Unquote(text.Value)
				all = append(all, reason)
			}
			return true
		})
	}
	return all
}

// TestEveryReasonOfAMoveIsExplained: in the log and in the README.
func TestEveryReasonOfAMoveIsExplained(t *testing.T) {
	readme, err := os.ReadFile(top + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	all := reasons(t)
	if len(all) != len(whyMoved) || len(all) == 0 {
		t.Errorf("the shedder has %d reasons %q, %d are explained", len(all), all, len(whyMoved))
	}
	for _, reason := range all {
		if whyMoved[reason] == "" {
			t.Errorf("%s is not explained in the log", reason)
		}
		if !strings.Contains(string(readme), "\n| `"+reason+"` |") {
			t.Errorf("%s is not in the README's table", reason)
		}
	}
}

// TestMovesAreLoggedAndCounted: with all that they were made from.
func TestMovesAreLoggedAndCounted(t *testing.T) {
	var log bytes.Buffer
	g := &gateway{log: slog.New(slog.NewJSONHandler(&log, nil)), moves: newMoves()}
	g.set.Store(&rules.Set{Origin: rules.Origin{ObserveConcurrency: true}})
	g.moved(shedder.Move{
		From: 20, To: 23.4567, Why: shedder.Elastic, Phase: shedder.Settled, InFlight: 19.5,
		Throughput: 812.3456, Inflation: 1.25, Elasticity: .4, Error: .125,
	})
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, &log)
	}
	for key, want := range map[string]any{
		"level": "INFO", "msg": "limit", "from": 20., "to": 23.46, "reason": "elastic", "why": whyMoved[shedder.Elastic], "phase": "settled",
		"enforced": false, "in_flight": 19.5, "throughput": 812.35, "inflation": 1.25, "elasticity": .4, "error": .13,
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(g.moves)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || len(families[0].Metric) != len(whyMoved) {
		t.Fatalf("gathered %v (%v), want a counter for each of %d reasons", families, err, len(whyMoved))
	}
	for _, m := range families[0].Metric {
		reason, want := m.Label[0].GetValue(), 0.
		if reason == shedder.Elastic {
			want = 1
		}
		if got := m.Counter.GetValue(); got != want {
			t.Errorf("%s is counted %v times, want %v", reason, got, want)
		}
	}
}
