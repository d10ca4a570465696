package rehearse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"penstock/rules"
	"penstock/shedder/model"
)

// What stands behind the gateway: the sample shop, a modelled origin, or the real one.

type origin struct {
	address string // host:port, or unix:/PATH
	about   string
	paths   bool                                               // it has all the pages of a cart's walk
	dear    float64                                            // what a sale's request costs, as a multiple of a page; 0: not known
	best    func(at time.Time) float64                         // pages/s, where that is known without trying; else nil
	orders  func(ctx context.Context) (units int64, err error) // nil: it cannot be asked
	stop    func()
}

// flow is the sample shop's word for how this sale sells.
func flow(s *rules.Sale) string {
	if s.Order != nil {
		return "cart"
	}
	for _, w := range s.SoldWhen {
		if w.Location != "" {
			return "redirect"
		}
	}
	return "json"
}

// startShop starts the sample shop with a sale's units for stock.
func startShop(ctx context.Context, path string, s *rules.Sale, args []string) (*origin, error) {
	want := map[string]string{"cart": "/cart/add", "redirect": "/buy.php", "json": "/buy.php"}[flow(s)]
	if s.Match.Path != want || s.Order != nil && s.Order.Match.Path != "/checkout/place" {
		return nil, fmt.Errorf("the sample shop sells at %s, and this sale is at %s: use -origin model:O2, or -origin real", want, s.Match.Path)
	}
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find the sample shop: %w", err)
		}
		path = filepath.Join(filepath.Dir(self), "sampleshop")
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("find the sample shop: %w (say where it is with -sampleshop PATH)", err)
	}
	args = append([]string{"-listen=127.0.0.1:0", "-flow=" + flow(s), "-stock=" + strconv.Itoa(units(s))}, args...)
	c, at, err := spawn(ctx, `listening on http://(\S+)`, path, args...)
	if err != nil {
		return nil, err
	}
	return &origin{
		address: at[1], about: strings.TrimSpace("the sample shop, " + strings.Join(args[1:], " ")), paths: true, dear: 4, stop: c.stop,
		orders: func(ctx context.Context) (int64, error) { return shopOrders(ctx, at[1]) },
	}, nil
}

// shopOrders are the units in the sample shop's books.
func shopOrders(ctx context.Context, address string) (int64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/orders", nil)
	if err != nil {
		return 0, fmt.Errorf("ask the shop for its orders: %w", err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, fmt.Errorf("ask the shop for its orders: %w", err)
	}
	defer resp.Body.Close()
	var books struct{ Units int64 }
	if err := json.NewDecoder(resp.Body).Decode(&books); err != nil {
		return 0, fmt.Errorf("read the shop's orders: %w", err)
	}
	return books.Units, nil
}

// startModel serves a modelled origin. It sells to everybody who asks for it, in the
// words that the sale's rules understand.
func startModel(name string, seed uint64, s *rules.Sale) (*origin, error) {
	m, err := model.New(name, seed)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the modelled origin: %w", err)
	}
	var sold atomic.Int64
	sells := s.Match
	if s.Order != nil {
		sells = s.Order.Match
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		post := r.Method != http.MethodGet && r.Method != http.MethodHead
		a := m.Serve(r.Context(), model.Request{Claim: post})
		switch {
		case errors.Is(a.Err, model.ErrRefused):
			hangUp(w)
		case a.Err != nil: // nobody waits for it any more
		case a.Status == http.StatusOK && post && r.URL.Path == concrete(sells.Path):
			sayYes(w, s, sold.Add(1))
		default:
			w.WriteHeader(a.Status)
		}
	})
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		srv.Serve(ln) // until it is closed
		close(done)
	}()
	about := name
	for _, n := range model.Shelf() {
		if n.Name == name {
			about += ": " + n.About
		}
	}
	began := time.Now()
	return &origin{
		address: ln.Addr().String(), about: "modelled origin " + about, paths: true, dear: 1,
		best:   func(at time.Time) float64 { return m.Capacity(at.Sub(began)) },
		orders: func(context.Context) (int64, error) { return sold.Load(), nil },
		stop: func() {
			srv.Close()
			<-done
		},
	}, nil
}

// hangUp closes a connection without an answer.
func hangUp(w http.ResponseWriter) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if t, ok := c.(*net.TCPConn); ok {
			t.SetLinger(0)
		}
		c.Close()
	}
}

// sayYes answers as the sale's first rule for a sale has it.
func sayYes(w http.ResponseWriter, s *rules.Sale, n int64) {
	status, ref := http.StatusOK, "order="+strconv.FormatInt(n, 10)
	if len(s.SoldWhen) == 0 {
		w.WriteHeader(status)
		return
	}
	rule := &s.SoldWhen[0]
	if len(rule.Status) > 0 {
		status = rule.Status[0].From
	}
	if rule.Location != "" {
		w.Header().Set("Location", strings.Replace(strings.Replace(rule.Location, "*", "?"+ref, 1), "*", "", -1))
	}
	for name, glob := range rule.Header {
		w.Header().Set(name, strings.ReplaceAll(glob, "*", strconv.FormatInt(n, 10)))
	}
	w.WriteHeader(status)
	w.Write(rule.BodyContains)
}

// units is all that a sale sells.
func units(s *rules.Sale) (n int) {
	if s.Stock != nil {
		for _, u := range s.Stock.Items {
			n += u
		}
	}
	return n
}

// concrete is a path that a pattern matches.
func concrete(pattern string) string {
	p := strings.TrimSuffix(pattern, "/**")
	if p == "" {
		return "/"
	}
	return strings.ReplaceAll(p, "*", "1")
}
