package stock

// Terms as a file has them, and how two sets of them differ. The store's terms are the
// ones in force; the file's are what an operator may put in their place.

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"penstock/rules"
)

// TermsOf are the terms that the file gives a sale with stock.
func TermsOf(s *rules.Sale) Terms {
	return Terms{
		PerAccount:   s.Stock.PerAccount,
		ReserveFor:   s.Stock.ReserveFor,
		SendingFor:   s.Stock.SendingFor,
		Unknown:      s.Stock.Unknown,
		UnknownAfter: s.Stock.UnknownAfter,
		Steps:        s.Order != nil,
	}
}

// Hash names the terms in 16 hexadecimal digits: equal terms have the same one.
func (t Terms) Hash() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "terms 1\n%d\n%d\n%d\n%d\n%d\n%t\n",
		t.PerAccount, t.ReserveFor, t.SendingFor, t.Unknown, t.UnknownAfter, t.Steps))
	return hex.EncodeToString(sum[:8])
}

// Differences says, in words, where the terms in force differ from those of a file.
func (t Terms) Differences(file Terms) []string {
	var all []string
	differ := func(what string, store, file any) {
		if store != file {
			all = append(all, fmt.Sprintf("%s is %v, the file says %v", what, store, file))
		}
	}
	differ("per_account", t.PerAccount, file.PerAccount)
	differ("reserve_for", t.ReserveFor, file.ReserveFor)
	differ("the time from start until a unit is held", t.SendingFor, file.SendingFor)
	differ("unknown", unknownText(t), unknownText(file))
	differ("order in a later request", t.Steps, file.Steps)
	return all
}

// unknownText is the rule for held units. Its time does not count where it has none.
func unknownText(t Terms) string {
	switch t.Unknown {
	case rules.Resolve:
		return "resolve every " + t.UnknownAfter.Round(time.Millisecond).String()
	case rules.Release:
		return "release_after " + t.UnknownAfter.Round(time.Millisecond).String()
	}
	return "keep"
}
