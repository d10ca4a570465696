package main

// `penstock rehearse -cheats`: what is said of it.

import (
	"context"
	"fmt"
	"io"

	"penstock/cmd/penstock/rehearse"
)

// trial plays a labelled crowd and says who got the units: exit code 0 if what is wanted
// of a gateway was reached, 1 if not, 2 if it could not be played.
func trial(ctx context.Context, o rehearse.Options, out, errs io.Writer) int {
	t, err := rehearse.Cheats(ctx, o)
	if err != nil {
		fmt.Fprintln(errs, "penstock rehearse:", err)
		return 2
	}
	fmt.Fprintf(out, "\nPlayed otherwise than your file says:\n")
	for _, c := range t.Changes {
		fmt.Fprintln(out, "  "+c)
	}
	fmt.Fprintf(out, "\n%s", t.Table())
	if t.Late > o.MaxLag || t.Failed > 0 {
		fmt.Fprintf(out, "This machine sent 1 %% of the requests more than %v late, and %d had no answer: take the figures with care.\n", t.Late, t.Failed)
	}
	fmt.Fprintln(out, "Play it again: "+o.Command)
	if t.Without == nil {
		fmt.Fprintln(out, "NO GO: the file has nothing against cheats: neither a ladder nor challenges.")
		return 1
	}
	faults := t.Faults()
	for _, f := range faults {
		fmt.Fprintln(out, "NO GO: "+f+".")
	}
	if len(faults) > 0 {
		return 1
	}
	fmt.Fprintln(out, "GO: people got through, and cheats took little.")
	return 0
}
