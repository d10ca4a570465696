package cache

// Whose cookies make a request somebody's own.

import (
	"slices"
	"strings"
)

// Anonymous reports whether a line of Cookie holds nothing but cookies of the names in
// ignore, and such whose piece begins with own. A piece that is no name and value is
// somebody's own.
func Anonymous(line string, ignore []string, own string) bool {
	for line != "" {
		var piece string
		piece, line, _ = strings.Cut(line, ";")
		if piece = trim(piece); piece == "" || strings.HasPrefix(piece, own) {
			continue
		}
		name, _, ok := strings.Cut(piece, "=")
		if !ok || !slices.Contains(ignore, trim(name)) {
			return false
		}
	}
	return true
}
