package main

// What the operators' commands ask the admin API, and how the answers are told.

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"penstock/proxy/admin"
	"penstock/rules/config"
)

// client talks to one gateway.
type client struct {
	base, token string
	http        *http.Client
}

// newClient finds the gateway by the file or by the flags.
func newClient(o *options) (*client, error) {
	c := &client{http: &http.Client{
		Timeout:       6 * time.Minute,
		Transport:     &http.Transport{Proxy: nil}, // the token is for the gateway alone
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	address := o.admin
	if o.config != "" {
		set, err := config.Load(o.config)
		if err != nil {
			return nil, err
		}
		address, c.token = set.Admin.Listen, set.Admin.Token
	}
	if o.tokenFile != "" {
		text, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("read token: %w", err)
		}
		c.token = strings.TrimSpace(string(text))
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("find the admin API: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	c.base = "http://" + net.JoinHostPort(host, port) + "/api/v1"
	return c, nil
}

// ask makes one call. What the gateway refuses is an error in its words.
func (c *client) ask(ctx context.Context, method, path string, body, answer any) error {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("write request: %w", err)
		}
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, in)
	if err != nil {
		return fmt.Errorf("ask gateway: %w", err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("ask gateway: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var refusal struct{ Error string }
		_ = json.Unmarshal(text, &refusal) // plain text where it is not JSON
		return errors.New(cmp.Or(refusal.Error, fmt.Sprintf("the gateway answered %s: %.200s", resp.Status, bytes.TrimSpace(text))))
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	return nil
}

// run does the command. ok is false if an audit found something.
func (v *verb) run(ctx context.Context, o *options, out io.Writer) (ok bool, err error) {
	c, err := newClient(o)
	if err != nil {
		return false, err
	}
	if v.group == "ban" {
		return true, c.bans(ctx, v, o, out)
	}
	switch v.name {
	case "show":
		return true, c.show(ctx, o, out)
	case "reservations":
		return true, c.reservations(ctx, o, out)
	case "audit":
		return c.audit(ctx, o, out)
	}
	var done admin.Done
	if err := c.ask(ctx, http.MethodPost, at(o.sale, v.name), o.command, &done); err != nil {
		return false, err
	}
	if o.json {
		return true, printJSON(out, done)
	}
	fmt.Fprintf(out, "%s: %s\n", plain(o.sale), plain(done.What))
	if done.Sale != nil {
		printSales(out, []admin.Sale{*done.Sale})
	}
	return true, nil
}

func at(sale, rest string) string { return "/sales/" + url.PathEscape(sale) + "/" + rest }

func (c *client) show(ctx context.Context, o *options, out io.Writer) error {
	var all struct {
		Sales []admin.Sale `json:"sales"`
	}
	if err := c.ask(ctx, http.MethodGet, "/sales", nil, &all); err != nil {
		return err
	}
	if o.sale != "" {
		var one []admin.Sale
		for _, s := range all.Sales {
			if s.Name == o.sale {
				one = append(one, s)
			}
		}
		if all.Sales = one; one == nil {
			return fmt.Errorf("the gateway has no sale %q with stock", o.sale)
		}
	}
	if o.json {
		return printJSON(out, all)
	}
	printSales(out, all.Sales)
	return nil
}

// reservations reads page by page. A token that is on two pages is told as it was last.
func (c *client) reservations(ctx context.Context, o *options, out io.Writer) error {
	q := url.Values{}
	for key, value := range map[string]string{"token": o.command.Token, "ref": o.command.Ref, "account": o.account, "stage": o.stage} {
		if value != "" {
			q.Set(key, value)
		}
	}
	var all admin.Page
	seen := make(map[string]int)
	for {
		var page admin.Page
		if err := c.ask(ctx, http.MethodGet, at(o.sale, "tokens?"+q.Encode()), nil, &page); err != nil {
			return err
		}
		for _, t := range page.Tokens {
			if i, twice := seen[t.Token]; twice {
				all.Tokens[i] = t
				continue
			}
			seen[t.Token] = len(all.Tokens)
			all.Tokens = append(all.Tokens, t)
		}
		if page.Next == "" {
			break
		}
		q.Set("cursor", page.Next)
	}
	if o.json {
		return printJSON(out, all)
	}
	printTokens(out, all.Tokens)
	return nil
}

func (c *client) audit(ctx context.Context, o *options, out io.Writer) (ok bool, err error) {
	if o.orders != "" {
		in := os.Stdin
		if o.orders != "-" {
			if in, err = os.Open(o.orders); err != nil {
				return false, fmt.Errorf("read orders: %w", err)
			}
			defer in.Close()
		}
		text, err := io.ReadAll(in)
		if err != nil {
			return false, fmt.Errorf("read orders: %w", err)
		}
		if o.command.Orders = string(text); len(text) == 0 {
			return false, fmt.Errorf("read orders: %s is empty", o.orders)
		}
	}
	if o.window > 0 {
		o.command.Window = o.window.String()
	}
	if o.freeMissing > 0 {
		o.command.FreeMissing = o.freeMissing.String()
	}
	var r admin.Report
	if err := c.ask(ctx, http.MethodPost, at(o.sale, "audit"), o.command, &r); err != nil {
		return false, err
	}
	if ok = len(r.Faults)+len(r.Differences)+len(r.Failed) == 0; o.json {
		return ok, printJSON(out, r)
	}
	printReport(out, &r)
	return ok, nil
}
