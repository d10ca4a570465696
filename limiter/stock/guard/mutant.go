//go:build mutants

package guard

import (
	"os"
	"strings"
)

// mutant names the safeguard that this process does without.
var mutant = os.Getenv("PENSTOCK_MUTANT")

func Off(name string) bool { return name != "" && name == mutant }

// Script leaves out the lines that end in "-- guard: NAME".
func Script(source string) string {
	if mutant == "" {
		return source
	}
	lines := strings.Split(source, "\n")
	kept := lines[:0]
	for _, line := range lines {
		if !strings.HasSuffix(line, "-- guard: "+mutant) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}
