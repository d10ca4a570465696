package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"penstock/rules"
	"penstock/shedder"
)

var keptAt = time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)

// learned is what a gateway may have found.
func learned(limit int, browse float64) shedder.Remembered {
	r := shedder.Remembered{Limit: limit}
	r.Rest[rules.Browse] = browse
	return r
}

// keptIn is an origin whose state is kept in a directory of this test.
func keptIn(t *testing.T) *rules.Origin {
	t.Helper()
	return &rules.Origin{Network: "tcp", Address: "127.0.0.1:8081", MaxConcurrency: 256, StateFile: filepath.Join(t.TempDir(), "penstock.origin")}
}

func put(t *testing.T, o *rules.Origin, text string) {
	t.Helper()
	if err := os.WriteFile(o.StateFile, []byte(text), 0o600); err != nil {
		t.Fatalf("write the state: %v", err)
	}
}

func get(t *testing.T, o *rules.Origin) string {
	t.Helper()
	raw, err := os.ReadFile(o.StateFile)
	if err != nil {
		t.Fatalf("read the state: %v", err)
	}
	return string(raw)
}

// recalled reads the state and what is said about it.
func recalled(o *rules.Origin, now time.Time) (shedder.Remembered, string) {
	var said bytes.Buffer
	r := recall(o, now, slog.New(slog.NewTextHandler(&said, nil)))
	return r, said.String()
}

// TestLimitOutlivesARestart: a gateway begins where the one before it ended.
func TestLimitOutlivesARestart(t *testing.T) {
	o := keptIn(t)
	if err := writeOriginState(o, learned(37, .012), keptAt); err != nil {
		t.Fatalf("write: %v", err)
	}
	if got, said := recalled(o, keptAt.Add(time.Hour)); got != learned(37, .012) || !strings.Contains(said, "limit=37") {
		t.Errorf("recalled %+v and said %q", got, said)
	}
	info, err := os.Stat(o.StateFile)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has mode %v (%v), want 0600", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(o.StateFile))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the state there is %v (%v), want nothing", left, err)
	}

	if err := writeOriginState(o, learned(37, .012), time.Now()); err != nil {
		t.Fatalf("write: %v", err)
	}
	g, err := build(t.Context(), &rules.Set{Origin: *o}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	if got := g.shedder.Stats().Limit; got != 37 {
		t.Errorf("the gateway begins with a limit of %d, want 37", got)
	}
}

// TestStateThatIsNotBelieved: it is said why, and nothing else happens.
func TestStateThatIsNotBelieved(t *testing.T) {
	good := `{"format":1,"origin":"tcp 127.0.0.1:8081","time":"2026-11-27T20:00:00Z","limit":37,"rest":{"browse":0.012}}`
	f := func(said, old, by string) {
		t.Helper()
		o := keptIn(t)
		text := strings.Replace(good, old, by, 1)
		if old != "" && text == good {
			t.Fatalf("%s: there is no %s to replace", said, old)
		}
		put(t, o, text)
		if got, log := recalled(o, keptAt); got != (shedder.Remembered{}) || !strings.Contains(log, said) {
			t.Errorf("%s: recalled %+v and said %q, want nothing and %q", text, got, log, said)
		}
	}
	f("damaged", good, "")
	f("damaged", `"rest":{"browse":0.012}}`, "")
	f("damaged", `"rest":{"browse":0.012}}`, `"rest":{"browse":0.012}}{`)
	f("damaged", good, "[1, 2]")
	f("damaged", `37`, `NaN`)
	f("damaged", `37`, `1e9`)
	f("damaged: a limit of 1000000000", `37`, `1000000000`)
	f("damaged: a limit of -37", `37`, `-37`)
	f("damaged: a limit of 0", `37`, `0`)
	f("damaged", `0.012`, `NaN`)
	f("damaged", `0.012`, `1e999`)
	f("damaged: browse answers at rest within -0.012 s", `0.012`, `-0.012`)
	f("damaged: browse answers at rest within 0 s", `0.012`, `0`)
	f("damaged: browse answers at rest within 1e+09 s", `0.012`, `1e9`)
	f("format 0", good, "null")
	f("format 0", good, `{"name": "another program's", "version": "2.1.0"}`)
	f("format 2", `"format":1`, `"format":2`)
	f("another origin", `8081`, `8082`)
	f("more than a week", `2026-11-27`, `2026-11-20T19:59:59Z","x":"`)
	f("more than a week", `2026`, `2027`)
	f("no file of ours", good, strings.Repeat(" ", mostKept+1))

	number := keptIn(t)
	number.Concurrency = 20
	put(t, number, good)
	if got, said := recalled(number, keptAt); got != (shedder.Remembered{}) || !strings.Contains(said, "is a number") {
		t.Errorf("with a number: recalled %+v and said %q", got, said)
	}
	dir := keptIn(t)
	dir.StateFile = filepath.Dir(dir.StateFile)
	if got, said := recalled(dir, keptAt); got != (shedder.Remembered{}) || !strings.Contains(said, "no file of ours") {
		t.Errorf("a directory: recalled %+v and said %q", got, said)
	}
	first := keptIn(t)
	if got, said := recalled(first, keptAt); got != (shedder.Remembered{}) || said != "" {
		t.Errorf("the first start: recalled %+v and said %q", got, said)
	}
	if got, said := recalled(&rules.Origin{}, keptAt); got != (shedder.Remembered{}) || said != "" {
		t.Errorf("no file wanted: recalled %+v and said %q", got, said)
	}
}

// TestStateWithMoreThanThisVersionKnows: what a later version adds is passed over.
func TestStateWithMoreThanThisVersionKnows(t *testing.T) {
	o := keptIn(t)
	put(t, o, `{"format":1,"origin":"tcp 127.0.0.1:8081","time":"2026-11-27T20:00:00Z","limit":37,"rest":{"browse":0.012,"robots":1},"more":[]}`)
	if got, said := recalled(o, keptAt); got != learned(37, .012) {
		t.Errorf("recalled %+v and said %q", got, said)
	}
}

// kept makes a keeper that writes what *r holds.
func kept(o *rules.Origin, r *shedder.Remembered, log *slog.Logger) *keeper {
	return &keeper{log: log, learned: func() shedder.Remembered { return *r }, origin: func() *rules.Origin { return o }}
}

// TestStateIsWrittenWhenItIsWorthIt: not for every swing, but before it is too old.
func TestStateIsWrittenWhenItIsWorthIt(t *testing.T) {
	o, r := keptIn(t), shedder.Remembered{}
	k, now := kept(o, &r, slog.New(slog.DiscardHandler)), keptAt
	f := func(what string, next shedder.Remembered, later time.Duration, last, want bool) {
		t.Helper()
		r, now = next, now.Add(later)
		put(t, o, "before")
		k.keep(now, last)
		if wrote := get(t, o) != "before"; wrote != want {
			t.Errorf("%s: written %v, want %v", what, wrote, want)
		}
	}
	f("nothing is known", shedder.Remembered{}, 0, false, false)
	f("nothing is known at the end", shedder.Remembered{}, 0, true, false)
	f("the first", learned(100, .01), 0, false, true)
	f("the same", learned(100, .01), keepEvery, false, false)
	f("5 %", learned(105, .0105), keepEvery, false, false)
	f("more", learned(106, .01), keepEvery, false, true)
	f("fewer", learned(100, .01), keepEvery, false, true)
	f("slower at rest", learned(100, .011), keepEvery, false, true)
	f("the same at the end", learned(100, .011), keepEvery, true, true)
	f("the same, later", learned(100, .011), keepFresh-time.Second, false, false)
	f("the same, and old", learned(100, .011), time.Second, false, true)
	o.Address = "127.0.0.1:8082"
	f("another origin", learned(100, .011), keepEvery, false, true)
	if got, said := recalled(o, now); got != r {
		t.Errorf("recalled %+v and said %q, want %+v", got, said, r)
	}
}

// TestStateThatCannotBeWritten: it is said once, and again when it went well in between.
func TestStateThatCannotBeWritten(t *testing.T) {
	o, r := keptIn(t), learned(100, .01)
	var said bytes.Buffer
	k := kept(o, &r, slog.New(slog.NewTextHandler(&said, nil)))
	file := o.StateFile
	f := func(path string, want int) {
		t.Helper()
		o.StateFile = path
		k.keep(keptAt, false)
		if n := strings.Count(said.String(), "cannot be kept"); n != want {
			t.Errorf("%s: said so %d times, want %d:\n%s", path, n, want, &said)
		}
	}
	nowhere := filepath.Join(filepath.Dir(file), "nowhere", "penstock.origin")
	f(nowhere, 1)
	f(nowhere, 1)
	f(file, 1)
	f(nowhere, 2)
	f("", 2)
	if got, said := recalled(&rules.Origin{Network: o.Network, Address: o.Address, StateFile: file}, keptAt); got != r {
		t.Errorf("recalled %+v and said %q", got, said)
	}
}

// TestStateIsWrittenNowAndThenAndAtTheEnd: and the keeper ends with the gateway.
func TestStateIsWrittenNowAndThenAndAtTheEnd(t *testing.T) {
	o := keptIn(t)
	synctest.Test(t, func(t *testing.T) {
		r := learned(100, .01)
		k := kept(o, &r, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { k.run(ctx); close(ended) }()
		time.Sleep(keepEvery + time.Second)
		synctest.Wait()
		if got, said := recalled(o, time.Now()); got != r {
			t.Errorf("after a while: recalled %+v and said %q", got, said)
		}
		r = learned(101, .01)
		stop()
		<-ended
		if got, said := recalled(o, time.Now()); got != r {
			t.Errorf("at the end: recalled %+v and said %q", got, said)
		}
	})
}

func TestOnlyAnEmbeddedStoreMeansAlone(t *testing.T) {
	g := &gateway{log: slog.New(slog.DiscardHandler)}
	for name, c := range map[string]struct {
		store  rules.Store
		shared bool
	}{
		"embedded": {rules.Store{Embedded: "penstock.db"}, false},
		"Redis":    {rules.Store{Redis: &rules.Redis{}}, true},
		"none":     {rules.Store{}, true},
	} {
		if got := g.outside(&rules.Set{Store: c.store}).Shared; got != c.shared {
			t.Errorf("store %s: that there may be other gateways is %v, want %v", name, got, c.shared)
		}
	}
}
