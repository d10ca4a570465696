package main

// Answers of the admin API as people read them.

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"penstock/proxy/admin"
)

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// plain is a client's string as a terminal may be shown it.
func plain(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// table writes rows of cells in columns.
func table(out io.Writer, rows ...[]any) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			text := plain(fmt.Sprint(cell))
			if text == "" {
				text = "-"
			}
			if i > 0 {
				text = "\t" + text
			}
			io.WriteString(w, text)
		}
		io.WriteString(w, "\n")
	}
	w.Flush()
}

func printSales(out io.Writer, sales []admin.Sale) {
	rows := [][]any{{"SALE", "ITEM", "STATE", "LOADED", "FREE", "RESERVED", "SENDING", "HELD", "SOLD", "WITHDRAWN"}}
	for i := range sales {
		s := &sales[i]
		if !s.Loaded {
			rows = append(rows, []any{s.Name, "", stateOf(s)})
		}
		for _, n := range s.Items {
			state := stateOf(s)
			if n.Latched {
				state += ", sold out"
			}
			rows = append(rows, []any{s.Name, n.Name, state, n.Loaded, n.Free, n.Reserved, n.Sending, n.Held, n.Sold, n.Withdrawn})
		}
	}
	table(out, rows...)
	for i := range sales {
		s := &sales[i]
		if s.Oversold > 0 {
			fmt.Fprintf(out, "%s: %d units are oversold\n", plain(s.Name), s.Oversold)
		}
		for _, d := range s.Differences {
			fmt.Fprintf(out, "%s: %s\n", plain(s.Name), plain(d))
		}
	}
}

func stateOf(s *admin.Sale) string {
	switch {
	case s.Archived:
		return "archived"
	case !s.Loaded:
		return "not loaded"
	case s.Frozen:
		return s.State + ", frozen"
	}
	return s.State
}

func printTokens(out io.Writer, tokens []admin.Token) {
	rows := [][]any{{"TOKEN", "STAGE", "ACCOUNT", "ITEM", "UNITS", "CHANGED", "DUE", "REF"}}
	for _, t := range tokens {
		due := ""
		if t.Due != nil {
			due = t.Due.Format(time.RFC3339)
		}
		rows = append(rows, []any{t.Token, t.Stage, t.Account, t.Item, t.Units + t.Over, t.Changed.Format(time.RFC3339), due, t.Ref})
	}
	table(out, rows...)
}

func printReport(out io.Writer, r *admin.Report) {
	printSales(out, []admin.Sale{r.Sale})
	fmt.Fprintf(out, "\n%d tokens read, %d faults of the ledger\n", r.Tokens, len(r.Faults))
	if r.Moving {
		fmt.Fprintln(out, "the ledger changed during every reading: its tokens were not counted again; pause the sale for that")
	}
	for _, f := range r.Faults {
		fmt.Fprintln(out, "  "+plain(f))
	}
	if r.Orders > 0 || len(r.Differences) > 0 {
		fmt.Fprintf(out, "%d orders in the list, %d with a token here, %d differences\n", r.Orders, r.Matched, len(r.Differences))
	}
	if len(r.Differences) > 0 {
		rows := [][]any{{"LINE", "DIFFERENCE", "TOKEN", "ACCOUNT", "REF"}}
		for _, d := range r.Differences {
			line := ""
			if d.Line > 0 {
				line = strconv.Itoa(d.Line)
			}
			rows = append(rows, []any{line, d.Text, d.Token, d.Account, d.Ref})
		}
		table(out, rows...)
	}
	printPlan(out, r)
}

func printPlan(out io.Writer, r *admin.Report) {
	if r.NoFree != "" {
		fmt.Fprintf(out, "no held token is freed: %s\n", r.NoFree)
	}
	if len(r.Sell)+len(r.Free) == 0 {
		return
	}
	rows := [][]any{{"HELD", "BECOMES", "ACCOUNT", "UNITS", "REF"}}
	for _, t := range r.Sell {
		rows = append(rows, []any{t.Token, "sold", t.Account, t.Units, t.Ref})
	}
	for _, t := range r.Free {
		rows = append(rows, []any{t.Token, "free", t.Account, t.Units, ""})
	}
	table(out, rows...)
	if !r.Applied {
		fmt.Fprintln(out, "nothing was changed: -apply does it")
		return
	}
	fmt.Fprintf(out, "%d settled, %d failed\n", r.Settled, len(r.Failed))
	for _, f := range r.Failed {
		fmt.Fprintln(out, "  "+plain(f))
	}
}
