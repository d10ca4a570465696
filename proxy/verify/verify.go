// Package verify asks a provider of challenges whether what its widget said is right.
//
// Turnstile, hCaptcha and reCAPTCHA are asked in the same way: a form with secret, response
// and sitekey is posted, and the answer is a JSON object whose member "success" is true or
// false. "No" is one thing and "cannot be asked" another: a provider that is down, slow,
// babbling, or does not know our secret, gives an error.
//
// The client's address is left out. It is a suggestion to the provider and personal data of
// somebody else. Neither the secret nor the answer appears in an error.
package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"penstock/rules"
)

const (
	maxAnswer = 64 << 10         // bytes that are read of an answer
	most      = 64               // connections to one provider: all of them come when a sale opens
	idle      = 90 * time.Second // until an unused one is closed
)

// Client asks. Make it with New.
type Client struct{ http http.Client }

// New returns a client that follows no redirects: the secret goes where the rule says, and
// nowhere else.
func New() *Client {
	return &Client{http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			MaxConnsPerHost:     most,
			MaxIdleConnsPerHost: most,
			IdleConnTimeout:     idle,
			ForceAttemptHTTP2:   true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes the connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Ask asks within the timeout of the rule. With an error the answer is neither right nor
// wrong.
func (c *Client) Ask(ctx context.Context, r *rules.Remote, answer string, _ netip.Addr) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	form := url.Values{"secret": {r.Secret}, "response": {answer}}
	if r.SiteKey != "" {
		form.Set("sitekey", r.SiteKey) // or an answer from any site of ours would do
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Verify, strings.NewReader(form.Encode()))
	if err != nil {
		return false, fmt.Errorf("ask a provider of challenges: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return false, fmt.Errorf("ask a provider of challenges: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return false, fmt.Errorf("ask a provider of challenges: %w", err)
	}
	if ok, err = read(resp.StatusCode, body); err != nil {
		return false, fmt.Errorf("ask a provider of challenges: %w", err)
	}
	return ok, nil
}

// ours are the codes of faults that no client can cause.
var ours = []string{"missing-input-secret", "invalid-input-secret", "internal-error"}

// read tells what the provider said. A no may come with status 400; a yes may not.
func read(status int, body []byte) (bool, error) {
	switch {
	case status != http.StatusOK && status != http.StatusBadRequest:
		return false, fmt.Errorf("the answer has status %d, want 200", status)
	case len(body) > maxAnswer:
		return false, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	var said struct {
		Success *bool    `json:"success"`
		Codes   []string `json:"error-codes"`
	}
	if err := json.Unmarshal(bytes.TrimSpace(body), &said); err != nil {
		return false, fmt.Errorf("read answer: %w", err)
	}
	switch i := slices.IndexFunc(said.Codes, func(c string) bool { return slices.Contains(ours, c) }); {
	case said.Success == nil:
		return false, errors.New(`the answer does not say "success"`)
	case *said.Success && status == http.StatusOK:
		return true, nil
	case *said.Success:
		return false, fmt.Errorf("the answer has status %d and says success", status)
	case i >= 0:
		return false, fmt.Errorf("the provider says %q", said.Codes[i])
	}
	return false, nil
}
