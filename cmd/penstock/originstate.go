package main

// What `auto` has found out about the origin, over restarts: a small file of this
// gateway's own, so that the first seconds of a sale are not spent on finding it again.
//
// It gives up what was learned in the last seconds before a crash. It is a hint and never
// a condition: a file that cannot be read or believed is said to be so, and the limit is
// found anew. Gateways do not share one.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"penstock/rules"
	"penstock/shedder"
)

const (
	keepEvery = 10 * time.Second
	keepMoved = .05                // what has moved by less than this part is not written again,
	keepFresh = time.Hour          // unless what stands there is as old as this
	keptFor   = 7 * 24 * time.Hour // nobody knows what was deployed since

	keptFormat = 1
	mostKept   = 64 << 10 // bytes

	mostKeptLimit = 1_000_000 // beyond these it is no limit and no time of an answer
	leastKeptRest = 10 * time.Microsecond
	mostKeptRest  = time.Minute
)

// originState is the file.
type originState struct {
	Format int                `json:"format"`
	Origin string             `json:"origin"`
	Time   time.Time          `json:"time"`
	Limit  int                `json:"limit"`
	Rest   map[string]float64 `json:"rest"` // seconds an answer takes at rest, by priority
}

// recall reads what a gateway before this one has found; the zero value if that is nothing,
// or nothing to go by.
func recall(o *rules.Origin, now time.Time, log *slog.Logger) shedder.Remembered {
	if o.StateFile == "" {
		return shedder.Remembered{}
	}
	s, err := readOriginState(o.StateFile)
	ignored := func(level slog.Level, why string) shedder.Remembered {
		log.Log(context.Background(), level, "the limit found before is not used", "file", o.StateFile, "why", why)
		return shedder.Remembered{}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return shedder.Remembered{}
	case err != nil:
		return ignored(slog.LevelWarn, err.Error())
	case o.Concurrency > 0:
		return ignored(slog.LevelInfo, "origin.concurrency is a number")
	case s.Origin != originName(o):
		return ignored(slog.LevelInfo, fmt.Sprintf("it is of another origin (%q)", s.Origin))
	case now.Sub(s.Time).Abs() > keptFor:
		return ignored(slog.LevelInfo, "it is of "+s.Time.Format(time.RFC3339)+", more than a week away")
	}
	log.Info("the limit found before is used", "file", o.StateFile, "limit", s.Limit, "of", s.Time.Format(time.RFC3339))
	return s.remembered()
}

func originName(o *rules.Origin) string { return o.Network + " " + o.Address }

// readOriginState reads a file and believes only what can be true.
func readOriginState(path string) (s originState, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return s, err
	}
	if !info.Mode().IsRegular() || info.Size() > mostKept {
		return s, errors.New("it is no file of ours")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("it is damaged: %w", err)
	}
	switch {
	case s.Format != keptFormat:
		return s, fmt.Errorf("it has format %d, not %d", s.Format, keptFormat)
	case s.Limit < 1 || s.Limit > mostKeptLimit:
		return s, fmt.Errorf("it is damaged: a limit of %d", s.Limit)
	}
	for class, seconds := range s.Rest {
		if seconds < leastKeptRest.Seconds() || seconds > mostKeptRest.Seconds() {
			return s, fmt.Errorf("it is damaged: %s answers at rest within %v s", class, seconds)
		}
	}
	return s, nil
}

// remembered drops classes that this version does not know.
func (s *originState) remembered() shedder.Remembered {
	r := shedder.Remembered{Limit: s.Limit}
	for p := range rules.Priorities {
		r.Rest[p] = s.Rest[p.String()]
	}
	return r
}

// keeper writes what has been learned.
type keeper struct {
	log     *slog.Logger
	learned func() shedder.Remembered
	origin  func() *rules.Origin // in use: a reload may change it

	path, of string
	written  shedder.Remembered
	at       time.Time
	failing  bool // and it has been said
}

func (g *gateway) keeper() *keeper {
	return &keeper{log: g.log, learned: g.shedder.Remember, origin: func() *rules.Origin { return &g.set.Load().Origin }}
}

// run writes now and then, and when ctx ends.
func (k *keeper) run(ctx context.Context) {
	t := time.NewTicker(keepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			k.keep(time.Now(), true)
			return
		case <-t.C:
			k.keep(time.Now(), false)
		}
	}
}

// keep writes if it is worth it. While nothing is known, what stands in the file stays.
func (k *keeper) keep(now time.Time, last bool) {
	o, r := k.origin(), k.learned()
	if o.StateFile == "" || r.Limit == 0 {
		return
	}
	same := o.StateFile == k.path && originName(o) == k.of && !apart(k.written, r)
	if same && !last && now.Sub(k.at) < keepFresh {
		return
	}
	err := writeOriginState(o, r, now)
	if err != nil && !k.failing {
		k.log.Warn("the limit cannot be kept over a restart (origin.state_file)", "file", o.StateFile, "err", err)
	}
	if k.failing = err != nil; !k.failing {
		k.path, k.of, k.written, k.at = o.StateFile, originName(o), r, now
	}
}

// apart reports whether two states differ enough to write the second.
func apart(a, b shedder.Remembered) bool {
	far := func(a, b float64) bool { return math.Abs(a-b) > keepMoved*max(a, b) }
	for p := range a.Rest {
		if far(a.Rest[p], b.Rest[p]) {
			return true
		}
	}
	return far(float64(a.Limit), float64(b.Limit))
}

// writeOriginState leaves either the old file or the new one, whole, for this user's eyes.
func writeOriginState(o *rules.Origin, r shedder.Remembered, now time.Time) error {
	s := originState{Format: keptFormat, Origin: originName(o), Time: now.UTC().Truncate(time.Second), Limit: r.Limit, Rest: map[string]float64{}}
	for p, seconds := range r.Rest {
		if seconds >= leastKeptRest.Seconds() && seconds <= mostKeptRest.Seconds() {
			s.Rest[rules.Priority(p).String()] = seconds
		}
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(o.StateFile), filepath.Base(o.StateFile)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already where all went well
	_, err = f.Write(append(raw, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), o.StateFile)
	}
	return err
}
