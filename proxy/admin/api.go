package admin

// The API: JSON in, JSON out. A browser on the same machine must not be made to use it by
// a page from elsewhere: changes are POSTs of application/json only, from no other origin,
// and where no token guards it, to no host name but the listener's own.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The bounds of bodies, and of the time one request may take.
const (
	maxBody   = 64 << 10
	maxOrders = 64 << 20 // with a list of orders in it
	maxWho    = 200      // bytes of by, and of why

	apiPatience   = 20 * time.Second
	auditPatience = 5 * time.Minute
)

type api struct {
	sales     Sales
	upgrades  Upgrade
	bans      Bans
	standings Standings
	changed   func(Change)
}

func newAPI(o Options) http.Handler {
	a := &api{sales: o.Sales, upgrades: o.Upgrade, bans: o.Bans, standings: o.Standings, changed: o.Changed}
	if a.changed == nil {
		a.changed = func(Change) {}
	}
	mux := http.NewServeMux()
	if a.sales != nil {
		mux.HandleFunc("GET /api/v1/sales", a.list)
		mux.HandleFunc("GET /api/v1/sales/{sale}/tokens", a.tokens)
		mux.HandleFunc("POST /api/v1/sales/{sale}/{action}", a.do)
	}
	if a.upgrades != nil {
		mux.HandleFunc("POST /api/v1/upgrade", a.upgrade)
	}
	if a.bans != nil {
		mux.HandleFunc("GET /api/v1/bans", a.listBans)
		mux.HandleFunc("POST /api/v1/bans/add", a.ban("ban", a.bans.AddBan))
		mux.HandleFunc("POST /api/v1/bans/remove", a.ban("unban", a.bans.RemoveBan))
	}
	if a.standings != nil {
		mux.HandleFunc("GET /api/v1/sales/{sale}/standing", a.standing)
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, &Problem{http.StatusNotFound, "there is no such call: " + r.Method + " " + r.URL.Path})
	})
	return mux
}

// fromHere keeps out what pages from elsewhere make a browser ask.
func fromHere(o Options, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.Token == "" && !ownHost(o.Listen, r.Host) {
			refuse(w, &Problem{http.StatusForbidden, "this is not the name of the admin listener: use its address, or set admin.token_file"})
			return
		}
		if origin := r.Header["Origin"]; len(origin) > 0 {
			u, err := url.Parse(origin[0])
			if err != nil || len(origin) > 1 || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
				refuse(w, &Problem{http.StatusForbidden, "requests from pages of another origin are refused"})
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// ownHost reports whether a request's Host is a loopback address or that of listen.
func ownHost(listen, host string) bool {
	if strings.EqualFold(host, listen) {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	ip, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(name, "localhost")
}

func (a *api) list(w http.ResponseWriter, r *http.Request) {
	sales, err := a.sales.Sales(r.Context())
	answer(w, map[string]any{"sales": sales}, err)
}

func (a *api) tokens(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	page, err := a.sales.Tokens(r.Context(), r.PathValue("sale"), Search{
		Token: q.Get("token"), Ref: q.Get("ref"), Account: q.Get("account"), Stage: q.Get("stage"), Cursor: q.Get("cursor"),
	})
	answer(w, page, err)
}

func (a *api) do(w http.ResponseWriter, r *http.Request) {
	sale, action := r.PathValue("sale"), r.PathValue("action")
	audit := action == "audit"
	if !audit && !slices.Contains(Actions, action) {
		refuse(w, &Problem{http.StatusNotFound, fmt.Sprintf("there is no action %q: want one of audit, %s", action, strings.Join(Actions, ", "))})
		return
	}
	limit, patience := int64(maxBody), apiPatience
	if audit {
		limit, patience = maxOrders, auditPatience
	}
	in := http.NewResponseController(w) // fails where there is no connection to set a deadline on
	_ = in.SetReadDeadline(time.Now().Add(patience))
	_ = in.SetWriteDeadline(time.Now().Add(patience))
	// A change that has begun is seen through, whether or not the asker waits for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	var c Command
	err := read(w, r, limit, &c)
	if err == nil && (!audit || c.Apply) {
		err = signed(&c.By, &c.Why)
	}
	switch {
	case err != nil:
		refuse(w, err)
	case audit:
		a.audit(ctx, w, sale, c)
	default:
		done, err := a.sales.Do(ctx, sale, action, c)
		a.changed(Change{c.By, c.Why, sale, action, what(c, done), err})
		answer(w, done, err)
	}
}

func (a *api) audit(ctx context.Context, w http.ResponseWriter, sale string, c Command) {
	report, err := a.sales.Audit(ctx, sale, c, func(what string, err error) {
		a.changed(Change{c.By, c.Why, sale, "audit", what, err})
	})
	answer(w, report, err)
}

// what says what was done, or what was asked for where it was not.
func what(c Command, d Done) string {
	if d.What != "" {
		return d.What
	}
	return strings.TrimSpace(fmt.Sprintf("item=%q units=%d token=%s ref=%q", c.Item, c.Units, c.Token, c.Ref))
}

// read takes one JSON object of known fields, and nothing after it.
func read(w http.ResponseWriter, r *http.Request, limit int64, c any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &Problem{http.StatusUnsupportedMediaType, "the body must be sent as application/json"}
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	d.DisallowUnknownFields()
	err := d.Decode(c)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errors.New("something follows the object")
		}
	}
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return &Problem{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", tooLong.Limit)}
	}
	return &Problem{http.StatusBadRequest, "the body is not a JSON object of the fields this call has: " + err.Error()}
}

// signed holds that a change says who makes it and why.
func signed(by, why *string) error {
	*by, *why = strings.TrimSpace(*by), strings.TrimSpace(*why)
	switch {
	case *by == "" || *why == "":
		return &Problem{http.StatusBadRequest, `a change needs "by" (who makes it) and "why"`}
	case len(*by) > maxWho || len(*why) > maxWho:
		return &Problem{http.StatusBadRequest, fmt.Sprintf(`"by" and "why" have at most %d bytes each`, maxWho)}
	}
	return nil
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		refuse(w, err)
		return
	}
	send(w, http.StatusOK, v)
}

// refuse answers an error: the asker's with its status, others as trouble of the store.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if p := (*Problem)(nil); errors.As(err, &p) {
		status = p.Status
	}
	send(w, status, map[string]string{"error": err.Error()})
}

func send(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // whoever asked has left
}
