package rehearse

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"penstock/cmd/penstock/rehearse/report"
)

// What the gateway says of itself: its metrics, read as text.

// desk is the gateway's operators' listener.
type desk struct {
	base, token string
	http        *http.Client
}

func newDesk(address, token string) *desk {
	return &desk{base: "http://" + address, token: token, http: &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{}}}
}

func (d *desk) get(ctx context.Context, path string) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+path, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("ask gateway: %w", err)
	}
	if d.token != "" {
		r.Header.Set("Authorization", "Bearer "+d.token)
	}
	resp, err := d.http.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("ask gateway: %w", err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return 0, nil, fmt.Errorf("read the gateway's answer: %w", err)
	}
	return resp.StatusCode, body, nil
}

// gauges are what it shows now; of stock, that of one sale.
func (d *desk) gauges(ctx context.Context, sale string) (*report.Gauges, error) {
	status, body, err := d.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("ask gateway for metrics: status %d", status)
	}
	return readGauges(string(body), sale), nil
}

func readGauges(text, sale string) *report.Gauges {
	g := &report.Gauges{Queue: map[string]int64{}}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		at := strings.LastIndexByte(lines.Text(), ' ')
		if at < 0 || lines.Text()[0] == '#' {
			continue
		}
		name, rest, _ := strings.Cut(lines.Text()[:at], "{")
		v, err := strconv.ParseFloat(lines.Text()[at+1:], 64)
		if err != nil {
			continue
		}
		switch name {
		case "penstock_origin_limit":
			g.Limit = v
		case "penstock_origin_in_flight":
			g.InFlight = v
		case "penstock_queue_depth":
			g.Queue[label(rest, "priority")] = int64(v)
		case "penstock_stock_units":
			if label(rest, "sale") == sale {
				if g.Units == nil {
					g.Units = &report.Units{}
				}
				add(g.Units, label(rest, "state"), int64(v))
			}
		}
	}
	return g
}

func add(u *report.Units, state string, n int64) {
	for name, field := range map[string]*int64{
		"free": &u.Free, "reserved": &u.Reserved, "sending": &u.Sending, "sold": &u.Sold, "held": &u.Held, "withdrawn": &u.Withdrawn,
	} {
		if name == state {
			*field += n
		}
	}
}

// label is the value of one label of a series; names of ours need no unescaping.
func label(labels, name string) string {
	_, rest, ok := strings.Cut(","+labels, ","+name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}
