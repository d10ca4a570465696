package main

import "net/http"

// What became of an order, asked by a gateway that never got its answer. To answer
// "free" is a promise: the shop then turns that token's checkouts away for good. It is
// the one thing here that a legacy shop must be taught, and it is kept in memory: a
// shop that starts anew has forgotten its promises along with its orders.

// standing is the answer to what became of a token.
type standing struct {
	Outcome string `json:"outcome"`         // "sold", "free" or "unknown"
	Order   string `json:"order,omitempty"` // with "sold"
}

// resolve says what became of a token and, if that is nothing, sees to it that
// nothing ever will. A checkout that waits for a worker has not begun: it meets the
// fence. One that has begun is past it, so nothing is said before its end.
func (l *ledger) resolve(token string) standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number, sold := l.sold[token]; sold {
		return standing{"sold", number}
	}
	if l.running[token] > 0 {
		return standing{Outcome: "unknown"}
	}
	l.fenced[token] = true
	return standing{Outcome: "free"}
}

// orderStatus takes no worker: it must answer when the shop does not.
func (s *shop) orderStatus(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	if token == "" {
		http.Error(w, "want ?token=", http.StatusBadRequest)
		return
	}
	now := s.ledger.resolve(token)
	w.Header().Set("Penstock-Outcome", now.Outcome)
	w.Header().Set("Cache-Control", "no-store")
	sendJSON(w, now)
}
