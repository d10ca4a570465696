package main

import (
	"strings"
	"testing"
)

// A warning is said, but the file is good.
func TestCheckWarns(t *testing.T) {
	const good = "../../rules/config/testdata/good/"
	f := func(file, wantOut, wantErrs string) {
		t.Helper()
		var out, errs strings.Builder
		if code := command([]string{"check", "-config", file}, &out, &errs); code != 0 || out.String() != wantOut || errs.String() != wantErrs {
			t.Errorf("%s: exit code %d, out %q, errors %q, want 0, %q, %q", file, code, out.String(), errs.String(), wantOut, wantErrs)
		}
	}
	f(good+"smallest.yaml", good+"smallest.yaml: no faults: 1 sales, 0 routes\n", "")
	f(good+"cart.yaml", good+"cart.yaml: no faults: 3 sales, 1 routes\n",
		good+"cart.yaml: warning: sales[watch].order.without: can oversell: orders without a reservation reach the shop\n")
}
