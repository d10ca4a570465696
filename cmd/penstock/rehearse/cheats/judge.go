package cheats

import (
	"slices"

	"penstock/cmd/penstock/mine/judge"
	"penstock/proxy/gate"
	"penstock/rules"
)

// The judge: what a gateway did to people, and what it left to cheats.

// Account is what became of one of the crowd.
type Account struct {
	Kind       Kind
	Name       string
	Requests   int // of the sale, without looks
	Asked      int // those of them after the opening
	Reached    bool
	Kept       bool // some request was kept from stock by a gate that cheats are refused by
	Challenged bool
	Banned     bool
	Won        bool
	Rung       rules.Rung // the highest, as Score
	Score      float64    // the highest, at its requests and at sweeps
}

// WronglyRefused reports a person who asked, was kept out, and never got as far as stock
// or "sold out". Who walked away from a challenge counts, too.
func (a *Account) WronglyRefused() bool {
	return !a.Kind.Cheat() && a.Asked > 0 && a.Kept && !a.Reached
}

// Caught reports whether the account was challenged or banned, or would be at its next request.
func (a *Account) Caught() bool {
	return a.Challenged || a.Banned || a.Rung >= rules.RungChallenge
}

// Result is what became of a crowd.
type Result struct {
	Seed     uint64
	Units    int
	Accounts []Account // by ID of the agent
}

// NewResult is of a crowd that has done nothing yet.
func NewResult(c *Crowd) *Result {
	r := &Result{Seed: c.Seed, Units: c.Units, Accounts: make([]Account, len(c.Agents))}
	for i, a := range c.Agents {
		r.Accounts[i] = Account{Kind: a.Kind, Name: a.Account}
	}
	return r
}

// decided counts a decision of a play.
func (r *Result) decided(a *Agent, d *gate.Decision) {
	if d.Step == gate.Looks {
		return
	}
	r.Note(a, d.Reason, !d.Facts.At.Before(d.Facts.Sale.Opens), d.Reason == gate.Admitted && d.Won)
	t := &r.Accounts[a.ID]
	t.Challenged = t.Challenged || d.Would == gate.Challenge // of a ladder that only watches
	t.Banned = t.Banned || d.Would == gate.Banned
}

// Note counts a request of the sale: what it was told, whether the sale was open, and
// whether it won a unit. Those of different agents may be noted at the same time.
func (r *Result) Note(of *Agent, reason gate.Reason, open, won bool) {
	a := &r.Accounts[of.ID]
	a.Requests++
	a.Won = a.Won || won
	a.Challenged = a.Challenged || reason == gate.Challenge
	a.Banned = a.Banned || reason == gate.Banned
	if !open {
		return
	}
	a.Asked++
	switch reason {
	case gate.Admitted, gate.SoldOut, gate.AlreadyBought, gate.OrderPending, gate.Limit:
		a.Reached = true
	case gate.Challenge, gate.Banned, gate.NotEligible, gate.RateLimited, gate.InFlight:
		a.Kept = true
	}
}

// Row is one kind of a result, or several together.
type Row struct {
	Accounts, Asked, Requests, Won int // Asked: accounts that asked after the opening
	Challenged, Banned, Caught     int
	WronglyRefused                 int

	Precision float64 // of Caught, of those and people who are caught
	Recall    float64 // of Accounts
	AUC       float64 // of Score, against people
}

// Judgement is a result, judged.
type Judgement struct {
	Seed   uint64
	Units  int
	Kinds  [Kinds]Row
	People Row
	Cheats Row

	scores [Kinds][]float64
}

// Judge judges a result.
func Judge(r *Result) *Judgement {
	j := &Judgement{Seed: r.Seed, Units: r.Units}
	scores := &j.scores
	var people, cheats []float64
	for i := range r.Accounts {
		a := &r.Accounts[i]
		all := &j.People
		if a.Kind.Cheat() {
			all, cheats = &j.Cheats, append(cheats, a.Score)
		} else {
			people = append(people, a.Score)
		}
		scores[a.Kind] = append(scores[a.Kind], a.Score)
		all.add(a)
		j.Kinds[a.Kind].add(a)
	}
	for k := range j.Kinds {
		j.Kinds[k].rate(&j.People, Kind(k).Cheat())
		if Kind(k).Cheat() {
			j.Kinds[k].AUC = auc(scores[k], people)
		}
	}
	j.Cheats.rate(&j.People, true)
	j.Cheats.AUC = auc(cheats, people)
	return j
}

// pooled is the AUC of a kind where several crowds are taken as one.
func pooled(k Kind, of []*Judgement) float64 {
	var people, cheats []float64
	for _, j := range of {
		cheats = append(cheats, j.scores[k]...)
		for p := range Flood {
			people = append(people, j.scores[p]...)
		}
	}
	return auc(cheats, people)
}

// auc is 0 where there is nobody to compare.
func auc(cheats, people []float64) float64 {
	slices.Sort(cheats)
	slices.Sort(people)
	return max(0, judge.AUC(cheats, people))
}

func (r *Row) add(a *Account) {
	count := func(n *int, is bool) {
		if is {
			*n++
		}
	}
	r.Accounts++
	r.Requests += a.Requests
	count(&r.Asked, a.Asked > 0)
	count(&r.Won, a.Won)
	count(&r.Challenged, a.Challenged)
	count(&r.Banned, a.Banned)
	count(&r.Caught, a.Caught())
	count(&r.WronglyRefused, a.WronglyRefused())
}

func (r *Row) rate(people *Row, cheat bool) {
	r.Recall = share(r.Caught, r.Accounts)
	if cheat {
		r.Precision = share(r.Caught, r.Caught+people.Caught)
	}
}

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// Refused is the share of people who asked and were wrongly refused.
func (j *Judgement) Refused() float64 { return share(j.People.WronglyRefused, j.People.Asked) }

// Challenged is the share of people who asked and were challenged.
func (j *Judgement) Challenged() float64 { return share(j.People.Challenged, j.People.Asked) }

// Loot is the share of the units sold that cheats have won.
func (j *Judgement) Loot() float64 { return share(j.Cheats.Won, j.Cheats.Won+j.People.Won) }

// Loots is the share of the units sold that a kind has won.
func (j *Judgement) Loots(k Kind) float64 {
	return share(j.Kinds[k].Won, j.Cheats.Won+j.People.Won)
}
