//go:build !race

package rules

import "testing"

// Every request is matched, also those a flood is made of: nothing may be allocated
// for a plain path, nor for a crooked one once the Path has its memory.
func TestMatchAllocatesNothing(t *testing.T) {
	s := &Set{
		Sales: []*Sale{
			{Name: "query", Match: Match{Methods: []string{"POST"}, Path: "/buy", Query: map[string]string{"sku": "1"}}},
			{Name: "buy", Match: Match{Methods: []string{"POST"}, Host: "shop.example", Path: "/buy"}, Order: &OrderStep{Match: Match{Path: "/place"}}},
			{Name: "next", Match: Match{Path: "/other"}, Opens: noon.Add(1), Order: &OrderStep{Match: Match{Path: "/place"}}},
		},
		Routes: []*Route{{Name: "product", Match: Match{Path: "/p/**"}}},
	}
	for _, raw := range []string{"/buy", "/place", "/%70lace", "/p/1", "/else", "/%62uy;x/../buy.php/%2562uy"} {
		b := []byte(raw)
		r := ask(path(raw))
		if n := testing.AllocsPerRun(100, func() { r.Path.Parse(b); s.Match(r) }); n != 0 {
			t.Errorf("path %s: got %v allocations, want 0", raw, n)
		}
	}
}
