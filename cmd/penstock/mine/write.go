package mine

// Writes what was found: a table for people, JSON for machines, or a list that a
// configuration can name.

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"unicode"

	"penstock/proxy/gate"
)

// Table writes sales, rings and accounts for people.
func (r *Result) Table(ctx context.Context, w io.Writer, least, top int) error {
	b := bufio.NewWriter(w)
	r.head(b)
	fmt.Fprintf(b, "\n%5s  %-24s %5s %7s %7s %4s %8s %5s %5s %5s %5s  %s\n",
		"score", "account", "sales", "asks", "refused", "wins", "first", "pages", "addrs", "there", "ring", "why")
	err := r.Ranked(ctx, least, top, func(a *Ranked) error {
		s, first, ring := &a.All, "-", "-"
		if s.First >= 0 {
			first = fmt.Sprintf("%.0fms", float64(s.First)/1000)
		}
		if a.Ring != nil {
			ring = fmt.Sprintf("#%d", a.Ring.ID)
		}
		_, err := fmt.Fprintf(b, "%5d  %-24s %5d %7d %7d %4d %8s %5d %5d %5d %5s  %s\n", a.Score, plain(a.Name), s.Sales, s.Asks,
			s.Asks-s.Refusals[gate.Admitted], s.Wins, first, s.LooksBefore, s.Addresses, a.Neighbour, ring, a.Reasons)
		return err
	})
	if err != nil {
		return err
	}
	return b.Flush()
}

const mostRings = 20 // in a table

func (r *Result) head(b *bufio.Writer) {
	fmt.Fprintf(b, "%d lines, %d accounts, %d rings", r.Lines, r.Accounts, len(r.Rings))
	if r.Nameless > 0 {
		fmt.Fprintf(b, "; %d lines without an account", r.Nameless)
	}
	fmt.Fprintln(b)
	for _, s := range r.Sales {
		guessed := ""
		if s.Guessed {
			guessed = ", opening taken from its first answer"
		}
		fmt.Fprintf(b, "sale %s: %d lines, %d accounts%s\n", plain(s.Name), s.Lines, s.Accounts, guessed)
	}
	for _, g := range r.Rings[:min(len(r.Rings), mostRings)] {
		fmt.Fprintf(b, "ring #%d: %s\n", g.ID, g)
	}
	if n := len(r.Rings) - mostRings; n > 0 {
		fmt.Fprintf(b, "and %d smaller rings\n", n)
	}
}

// String says what holds a ring together.
func (r *Ring) String() string {
	var how []string
	if r.Opening && r.cohort.kind == byOpening {
		how = append(how, fmt.Sprintf("%d at %s asked within %.1f ms, %.0f ms after the opening", r.Most, r.At, r.Within, r.From))
	}
	if r.Soon && r.cohort.kind == bySoon {
		how = append(how, fmt.Sprintf("%d from %s asked first within %d ms of the opening, more than people do", r.Most, r.At, early/1000))
	}
	if r.Bare && r.cohort.kind == byBare {
		how = append(how, fmt.Sprintf("%d at %s never looked at the product page", r.Most, r.At))
	}
	if r.Pool {
		how = append(how, fmt.Sprintf("they rotate over %d addresses", r.Addresses))
	}
	if r.Moments {
		how = append(how, "they ask at the same moments again and again")
	}
	if r.Sharing && len(how) == 0 {
		how = append(how, "they share several addresses with nobody else")
	}
	return fmt.Sprintf("%d accounts: %s", r.Accounts, strings.Join(how, "; "))
}

// plain keeps what clients have chosen from moving the cursor of whoever reads it.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s)
}

// List writes the accounts from least on as subjects of a ban: one in each line, with its
// score and reasons after a comma. It answers how many could not be written, because their
// names would be read as something else.
func (r *Result) List(ctx context.Context, w io.Writer, least, top int) (left int, err error) {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "# accounts that score %d or more of 100\n", least)
	err = r.Ranked(ctx, least, top, func(a *Ranked) error {
		if !listable(a.Name) {
			left++
			return nil
		}
		_, err := fmt.Fprintf(b, "%s,score=%d %s\n", a.Name, a.Score, a.Reasons)
		return err
	})
	if err != nil {
		return left, err
	}
	if left > 0 {
		fmt.Fprintf(b, "# left out, because a list cannot name them: %d\n", left)
	}
	return left, b.Flush()
}

// listable reports whether a line of a list that begins with the account means it.
func listable(account string) bool {
	if account == "" || account == "#" || strings.TrimSpace(account) != account || strings.HasPrefix(account, "# ") || strings.ContainsRune(account, ',') ||
		strings.ContainsFunc(account, func(c rune) bool { return !unicode.IsPrint(c) || c == unicode.ReplacementChar }) {
		return false
	}
	_, address := netip.ParseAddr(account)
	_, network := netip.ParsePrefix(account)
	return address != nil && network != nil
}

// JSON writes one object: what Result holds, and "accounts" in their order.
func (r *Result) JSON(ctx context.Context, w io.Writer, least, top int) error {
	b := bufio.NewWriter(w)
	head, err := json.Marshal(r)
	if err != nil {
		return err
	}
	b.Write(head[:len(head)-1])
	b.WriteString(`,"accounts":[`)
	comma := "\n"
	err = r.Ranked(ctx, least, top, func(a *Ranked) error {
		line, err := json.Marshal(r.told(a))
		b.WriteString(comma)
		comma = ",\n"
		b.Write(line)
		return err
	})
	if err != nil {
		return err
	}
	b.WriteString("\n]}\n")
	return b.Flush()
}

// account is a ranked account in JSON; features are what it did in a sale, or in all.
type account struct {
	Account string     `json:"account"`
	Score   int        `json:"score"`
	Why     string     `json:"why,omitempty"`
	Ring    int        `json:"ring,omitempty"`
	There   int        `json:"accounts_at_address"`
	All     features   `json:"all"`
	Sales   []features `json:"sales"`
}

type features struct {
	Sale       string            `json:"sale,omitempty"`
	Asks       uint32            `json:"asks"`
	Answers    map[string]uint32 `json:"answers,omitempty"`
	Watched    uint32            `json:"watched,omitempty"`
	Wins       uint32            `json:"wins"`
	Early      uint32            `json:"asks_before_opening"`
	First      *float64          `json:"first_ms,omitempty"` // after the opening
	Looks      uint32            `json:"looks"`
	Before     uint32            `json:"looks_before_first_ask"`
	Gaps       uint32            `json:"intervals"`
	Mean       float64           `json:"interval_ms"`
	CV         float64           `json:"interval_cv"`
	Even       float64           `json:"interval_commonest_share"`
	Beat       float64           `json:"interval_commonest_ms"`
	Addresses  uint32            `json:"addresses"`
	Networks   uint32            `json:"networks"`
	Switches   uint32            `json:"address_changes"`
	Moved      uint32            `json:"moved_before_opening,omitempty"` // sales in which it had, and asked early
	Challenged uint32            `json:"challenged"`
	Ignored    uint32            `json:"challenges_ignored"`
	Solved     uint32            `json:"challenges_solved"`
}

func (r *Result) told(a *Ranked) account {
	t := account{Account: a.Name, Score: a.Score, Why: a.Reasons, There: a.Neighbour, All: told(&a.All, "")}
	if a.Ring != nil {
		t.Ring = a.Ring.ID
	}
	for i := range a.In {
		t.Sales = append(t.Sales, told(&a.In[i], r.Sales[a.Sales[i]].Name))
	}
	return t
}

func told(s *Seen, sale string) features {
	f := features{
		Sale: sale, Asks: s.Asks, Answers: map[string]uint32{}, Watched: s.Watched, Wins: s.Wins, Early: s.Early,
		Looks: s.Looks, Before: s.LooksBefore, Gaps: s.Gaps, Mean: s.Mean / 1000, CV: s.CV, Even: s.Even, Beat: float64(s.Beat) / 1000,
		Addresses: s.Addresses, Networks: s.Networks, Switches: s.Switches, Moved: s.Moved, Challenged: s.Challenged, Ignored: s.Ignored, Solved: s.Solved,
	}
	if s.First >= 0 {
		first := float64(s.First) / 1000
		f.First = &first
	}
	for i, n := range s.Refusals {
		if n > 0 {
			f.Answers[gate.Reason(i).String()] += n
		}
	}
	return f
}
