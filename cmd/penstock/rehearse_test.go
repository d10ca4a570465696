package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"penstock/cmd/penstock/rehearse"
)

func TestRehearseFlags(t *testing.T) {
	o, files, err := rehearseFlags([]string{"-config", "my sale.yaml", "-redis-slow", "10s,80ms,5s", "-redis-dead", "20s", "-to", "a", "-to", "a", "-shop", "-workers 8 -service 5ms", "-html", "p.html"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if *o.Slow != (rehearse.Fault{At: 10 * time.Second, Delay: 80 * time.Millisecond, For: 5 * time.Second}) || *o.Dead != (rehearse.Fault{At: 20 * time.Second}) {
		t.Errorf("faults are %+v and %+v", o.Slow, o.Dead)
	}
	if len(o.To) != 2 || len(o.ShopArgs) != 4 || o.Origin != "shop" || o.Gateway != "start" || files.html != "p.html" {
		t.Errorf("options are %+v", o)
	}
	if o.Seed == 0 || !strings.Contains(o.Command, "-config 'my sale.yaml'") || !strings.Contains(o.Command, " -seed ") {
		t.Errorf("seed %d, again by %s: want a line that plays the same", o.Seed, o.Command)
	}
	again, _, err := rehearseFlags([]string{"-config", "x", "-seed", "7", "-gateway", "http://127.0.0.1"}, io.Discard)
	if err != nil || again.Seed != 7 || strings.Count(again.Command, "-seed") != 1 || again.Origin != "real" {
		t.Errorf("%v, seed %d, origin %s, again by %s", err, again.Seed, again.Origin, again.Command)
	}
	for _, args := range []string{
		"", "-config", "-config x y", "-config x -redis-slow 5s", "-config x -redis-slow 5s,0s", "-config x -redis-slow 5s,1s,1s,1s", "-config x -redis-dead -1s",
		"-config x -redis-dead soon", "-config x -for ever", "-config x -nonsense",
	} {
		if _, _, err := rehearseFlags(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%q: want it refused", args)
		}
	}
}
