// Package resolve asks the shop what became of an order whose answer was lost.
//
// The shop must fence: once it has said that a token's order does not exist, it must
// refuse that token for ever, because a request with it may still be under way. Anything
// but a clear answer leaves the unit as it is.
//
// It is built on net/http: it is asked a few times a minute, and never on the way of a
// request.
package resolve

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"penstock/proxy/gate"
	"penstock/rules"
)

// maxAnswer bounds how much of an answer is read, bytes.
const maxAnswer = 64 << 10

// Client asks. The zero Client is ready.
type Client struct{ http http.Client }

// Ask asks about one token, or the shop's reference of its order. The answer is the
// header Penstock-Outcome or, in a JSON object, the member "outcome": sold, free or
// unknown; a member "order" is the shop's name of the order. Status 404 is no answer: it
// may be a page of a server that knows nothing of orders.
func (c *Client) Ask(ctx context.Context, r *rules.Resolver, token gate.Token, ref string) (rules.Outcome, string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	at := strings.NewReplacer("{token}", hex.EncodeToString(token[:]), "{ref}", url.QueryEscape(ref)).Replace(r.URL)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return rules.OutcomeUnknown, "", fmt.Errorf("ask what became of an order: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return rules.OutcomeUnknown, "", fmt.Errorf("ask what became of an order: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return rules.OutcomeUnknown, "", fmt.Errorf("ask what became of an order: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return rules.OutcomeUnknown, "", fmt.Errorf("ask what became of an order: the answer has status %d, want 200", resp.StatusCode)
	}
	return read(resp.Header.Get("Penstock-Outcome"), body)
}

func read(header string, body []byte) (rules.Outcome, string, error) {
	var said struct{ Outcome, Order string }
	err := json.Unmarshal(body, &said)
	word := header
	switch {
	case header == "" && err != nil:
		return rules.OutcomeUnknown, "", fmt.Errorf("ask what became of an order: read answer: %w", err)
	case header == "":
		word = said.Outcome
	case said.Outcome != "" && said.Outcome != header:
		return rules.OutcomeUnknown, "", fmt.Errorf("ask what became of an order: the header says %q, the body %q", header, said.Outcome)
	}
	switch word {
	case "sold":
		return rules.OutcomeSold, rules.CleanRef(said.Order), nil
	case "free":
		return rules.OutcomeFree, "", nil
	case "unknown":
		return rules.OutcomeUnknown, "", nil
	}
	return rules.OutcomeUnknown, "", fmt.Errorf("ask what became of an order: the outcome is %q, want sold, free or unknown", word)
}
