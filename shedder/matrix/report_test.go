package matrix

import (
	"fmt"
	"math"
	"strings"
	"time"

	"penstock/shedder/model"
)

// RESULTS.md.

func report(tuned, heldOut []group, rows map[string]row, seeds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Overload, in virtual time

Made by:

    make bench-overload

%d seeds per cell; 10 s of quiet, then a minute. A hundred percent is what the best fixed limit gets in
the same phase from the same origin with the same crowd and seed (its limits are in oracle.tsv, found by search). Useful is an
answer below 500 within %v of the arrival. The origin works on when a client leaves. A refusal costs nothing here.

**ours** starts cold, **knee** is ours with the best limit remembered, **fixed** is ours with the best limit
of the first steady phase set by hand, **failsafe** is failsafe-go v0.9.8 with its own queue and its
ceiling raised to %d, **none** (one seed) nothing at all.

`, seeds, patience, mostSlots)
	b.WriteString("Origins:\n\n")
	for _, n := range model.Shelf() {
		fmt.Fprintf(&b, "- %s: %s\n", n.Name, n.About)
	}
	b.WriteString("\nCrowds, as multiples of what the origin can do:\n\n")
	for _, l := range loads() {
		fmt.Fprintf(&b, "- %s: %s\n", l.name, l.about)
	}
	section(&b, "Used for tuning", tuned, rows)
	section(&b, "Held out: other seeds, and origins that nothing was tuned on", heldOut, rows)
	return b.String()
}

func section(b *strings.Builder, title string, groups []group, rows map[string]row) {
	fmt.Fprintf(b, "\n## %s\n\nUseful answers from second 5 on, percent of the best fixed limit's: mean (worst seed).\n\n", title)
	b.WriteString("| origin | crowd | ours | knee | fixed | none | failsafe |\n|---|---|---|---|---|---|---|\n")
	for _, g := range groups {
		r, played := rows[g.key()]
		if !played {
			continue
		}
		fmt.Fprintf(b, "| %s | %s |", g.origin, g.load)
		for _, name := range limiters {
			fmt.Fprintf(b, " %s |", summary(r[name]))
		}
		b.WriteString("\n")
	}
	for _, name := range []string{"ours", "knee"} {
		detail(b, name, groups, rows)
	}
}

// detail is everything about one limiter.
func detail(b *strings.Builder, name string, groups []group, rows map[string]row) {
	fmt.Fprintf(b, "\n### %s, by phase\n\n", name)
	b.WriteString("Stays: seconds until 90 % is reached for good, mean (worst). p99: of what was admitted, as a multiple of the best limit's. " +
		"Peak: most requests inside the origin, of the best limit. Needless: refused, percent, while there was room. " +
		"Winners: served, percent; their wait for a slot, 99th percentile, ms. Jain: of the gateways. Travel: sum of |Δ ln limit| in the last half minute.\n\n")
	b.WriteString("| origin | crowd | phases: percent, mean (worst) | stays | p99 | peak | needless | winners | Jain | travel |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, g := range groups {
		of := rows[g.key()][name]
		if len(of) == 0 {
			continue
		}
		var parts []string
		for i, ph := range of[0].phases {
			part := func(s *score) float64 { return s.parts[i] }
			parts = append(parts, fmt.Sprintf("%g–%g s: %s (%s)", ph.from.Seconds(), ph.to.Seconds(), percent(mean(of, part)), percent(lowest(of, part))))
		}
		number := func(get func(*score) float64, digits int) string { return plain(mean(of, get), digits) }
		stays := func(s *score) float64 { return s.stays }
		needless := math.NaN()
		if l, _ := loadNamed(g.load); !l.overloads() {
			needless = mean(of, func(s *score) float64 { return s.needless })
		}
		winners := "–"
		if served := lowest(of, func(s *score) float64 { return s.winners }); served == served {
			winners = fmt.Sprintf("%.2f, %s", 100*served, plain(highest(of, func(s *score) float64 { return float64(s.winWait) / float64(time.Millisecond) }), 1))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s (%s) | %s | %s | %s | %s | %s | %s |\n", g.origin, g.load, strings.Join(parts, "; "),
			number(stays, 1), plain(highest(of, stays), 1),
			number(func(s *score) float64 { return float64(s.p99) / float64(s.bestP99) }, 2),
			plain(highest(of, func(s *score) float64 { return s.peak }), 2),
			plain(100*needless, 3), winners,
			plain(lowest(of, func(s *score) float64 { return s.jain }), 3),
			number(func(s *score) float64 { return s.travel }, 2))
	}
}
