package cheats

import (
	"fmt"
	"strings"
)

// The table that people read.

// Table is what became of a crowd with protection, and, if without is not nil, without.
// Both must be of the same seed.
func Table(with, without *Judgement) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-15s %8s %9s %8s %8s %8s %8s %7s %7s %7s %7s\n",
		"kind", "accounts", "requests", "chall.", "banned", "refused", "won", "without", "prec.", "recall", "AUC")
	bare := func(of func(j *Judgement) *Row) string {
		if without == nil {
			return "-"
		}
		return fmt.Sprint(of(without).Won)
	}
	write := func(name string, r *Row, won string, cheat bool) {
		fmt.Fprintf(&b, "%-15s %8d %9d %8d %8d %8d %8d %7s", name, r.Accounts, r.Requests, r.Challenged, r.Banned, r.WronglyRefused, r.Won, won)
		if cheat {
			fmt.Fprintf(&b, " %7.3f %7.3f %7.3f", r.Precision, r.Recall, r.AUC)
		}
		b.WriteByte('\n')
	}
	for k := range with.Kinds {
		write(Kind(k).String(), &with.Kinds[k], bare(func(j *Judgement) *Row { return &j.Kinds[k] }), Kind(k).Cheat())
	}
	write("people", &with.People, bare(func(j *Judgement) *Row { return &j.People }), false)
	write("cheats", &with.Cheats, bare(func(j *Judgement) *Row { return &j.Cheats }), true)
	b.WriteString(Sentence(with, without) + "\n")
	return b.String()
}

// Sentence is what it comes to.
func Sentence(with, without *Judgement) string {
	s := fmt.Sprintf("Of %d people who asked, %.2f %% were wrongly refused and %.2f %% challenged. Of %d units sold, cheats took %.2f %%",
		with.People.Asked, 100*with.Refused(), 100*with.Challenged(), with.People.Won+with.Cheats.Won, 100*with.Loot())
	if without != nil {
		s += fmt.Sprintf("; without protection %.2f %%", 100*without.Loot())
	}
	return s + "."
}

// What a gateway is wanted to do with a crowd.
const (
	MostRefused    = .005 // of the people who ask
	MostChallenged = .05
	MostLoot       = .1 // of the share that cheats take without protection
	LeastAUC       = .98
)

// Faults are what is wanted of a gateway and was not reached; nil: all of it was.
func Faults(with, without *Judgement) []string {
	var all []string
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	wrong(with.Refused() > MostRefused, "%.2f %% of people wrongly refused", 100*with.Refused())
	wrong(with.Challenged() > MostChallenged, "%.2f %% of people challenged", 100*with.Challenged())
	wrong(with.Loot() > MostLoot*without.Loot(), "cheats took %.2f %% of the units, and %.2f %% without protection", 100*with.Loot(), 100*without.Loot())
	return all
}

// Unknown are the kinds of cheats that are not told from people as well as is wanted, in
// words; nil: all are. The careful farm is to be kept from units, not to be recognised.
func Unknown(with *Judgement) []string {
	var all []string
	for k := Flood; k < Careful; k++ {
		if r := &with.Kinds[k]; r.Accounts > 0 && r.AUC < LeastAUC {
			all = append(all, fmt.Sprintf("AUC %.3f for %v", r.AUC, k))
		}
	}
	return all
}
