package verify

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// provider is one that answers so, and the rule that names it.
func provider(t *testing.T, answer http.HandlerFunc) *rules.Remote {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return &rules.Remote{Verify: s.URL + "/siteverify", SiteKey: "site", Secret: "whisper", Timeout: 10 * time.Second}
}

// ask asks by a client of its own, and checks what no error may say.
func ask(t *testing.T, ctx context.Context, r *rules.Remote) (bool, error) {
	t.Helper()
	c := New()
	defer c.Close()
	ok, err := c.Ask(ctx, r, "said", netip.MustParseAddr("192.0.2.7"))
	if err != nil {
		if ok {
			t.Errorf("a yes with the error %v", err)
		}
		for _, told := range []string{"whisper", "said", "192.0.2.7"} {
			if strings.Contains(err.Error(), told) {
				t.Errorf("the error tells %q: %v", told, err)
			}
		}
	}
	return ok, err
}

func TestAsk(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		ok     bool
		err    string // part of it; "": none
	}{
		{200, `{"success":true}`, true, ""},
		{200, `{"success":true,"challenge_ts":"2026-11-27T12:00:00Z","hostname":"shop.example","error-codes":[],"score":0.9}`, true, ""},
		{200, " {\"success\": true}\r\n", true, ""},
		{200, `{"success":false}`, false, ""},
		{200, `{"success":false,"error-codes":["invalid-input-response"]}`, false, ""},
		{200, `{"success":false,"error-codes":["timeout-or-duplicate"]}`, false, ""},
		{400, `{"success":false,"error-codes":["invalid-input-response"]}`, false, ""},
		{200, `{"success":false,"error-codes":["sitekey-secret-mismatch"]}`, false, ""}, // any client can bring an answer from elsewhere
		{200, `{"success":false,"error-codes":["invalid-input-secret"]}`, false, `the provider says "invalid-input-secret"`},
		{200, `{"success":false,"error-codes":["x","internal-error"]}`, false, `the provider says "internal-error"`},
		{400, `{"success":true}`, false, "status 400 and says success"},
		{500, `{"success":true}`, false, "status 500"},
		{503, `{"success":false}`, false, "status 503"},
		{429, `{"success":false}`, false, "status 429"},
		{404, `not found`, false, "status 404"},
		{201, `{"success":true}`, false, "status 201"},
		{200, ``, false, "read answer"},
		{200, `<html>success</html>`, false, "read answer"},
		{200, `{"success":true} {}`, false, "read answer"},
		{200, `{"success":"true"}`, false, "read answer"},
		{200, `{}`, false, `does not say "success"`},
		{200, `null`, false, `does not say "success"`},
		{200, `{"success":null}`, false, `does not say "success"`},
		{200, `{"success":true,"x":"` + strings.Repeat("x", maxAnswer) + `"}`, false, "longer than 65536 bytes"},
	} {
		r := provider(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		})
		ok, err := ask(t, t.Context(), r)
		if ok != c.ok || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("to %d %.60q: %v, %v, want %v, %q", c.status, c.body, ok, err, c.ok, c.err)
		}
	}
}

// TestWhatIsSaid to the provider: all it needs, and not who the client is.
func TestWhatIsSaid(t *testing.T) {
	var method, kind, body string
	r := provider(t, func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		method, kind, body = q.Method, q.Header.Get("Content-Type"), string(b)
		io.WriteString(w, `{"success":true}`)
	})
	for _, c := range []struct{ site, want string }{
		{"site", "response=said&secret=whisper&sitekey=site"},
		{"", "response=said&secret=whisper"},
	} {
		r.SiteKey = c.site
		if _, err := ask(t, t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if method != "POST" || kind != "application/x-www-form-urlencoded" || body != c.want {
			t.Errorf("said %s %s %q, want %q", method, kind, body, c.want)
		}
	}
}

// TestNoRedirect: whoever answers for the provider cannot have the secret sent on.
func TestNoRedirect(t *testing.T) {
	told := false
	thief := provider(t, func(w http.ResponseWriter, _ *http.Request) {
		told = true
		io.WriteString(w, `{"success":true}`)
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		r := provider(t, func(w http.ResponseWriter, q *http.Request) { http.Redirect(w, q, thief.Verify, status) })
		if ok, err := ask(t, t.Context(), r); ok || err == nil {
			t.Errorf("status %d: %v, %v, want an error", status, ok, err)
		}
	}
	if told {
		t.Error("the secret was sent on")
	}
}

// TestEndlessAnswer is not read to its end, which there is not.
func TestEndlessAnswer(t *testing.T) {
	sent := make(chan int, 1)
	r := provider(t, func(w http.ResponseWriter, _ *http.Request) {
		n, some := 0, make([]byte, 64<<10)
		for n < 1<<28 {
			m, err := w.Write(some)
			if n += m; err != nil {
				break
			}
		}
		sent <- n
	})
	if ok, err := ask(t, t.Context(), r); ok || err == nil {
		t.Errorf("%v, %v, want an error", ok, err)
	}
	if n := <-sent; n >= 1<<28 {
		t.Errorf("%d bytes of an answer were taken", n)
	}
}

func TestCannotBeAsked(t *testing.T) {
	stop := make(chan struct{})
	wait := func(q *http.Request) {
		select {
		case <-q.Context().Done():
		case <-stop:
		}
	}
	slow := provider(t, func(_ http.ResponseWriter, q *http.Request) { io.ReadAll(q.Body); wait(q) })
	slow.Timeout = 5 * time.Millisecond
	drip := provider(t, func(w http.ResponseWriter, q *http.Request) {
		io.ReadAll(q.Body)
		io.WriteString(w, `{"success":tr`)
		w.(http.Flusher).Flush()
		wait(q)
	})
	drip.Timeout = 50 * time.Millisecond
	cut := provider(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, `{"success":true}`)
	})
	endless := provider(t, func(w http.ResponseWriter, q *http.Request) {
		for q.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat(" ", 1<<16)); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() { close(stop) }) // before the servers are closed, which wait
	for name, r := range map[string]*rules.Remote{
		"slow": slow, "dripping": drip, "cut off": cut, "endless": endless,
		"down":     {Verify: "http://127.0.0.1:1/", Secret: "whisper", Timeout: 10 * time.Second},
		"no URL":   {Verify: "http://[/", Secret: "whisper", Timeout: 10 * time.Second},
		"no place": {Verify: "", Secret: "whisper", Timeout: 10 * time.Second},
	} {
		if ok, err := ask(t, t.Context(), r); ok || err == nil {
			t.Errorf("%s: %v, %v, want an error", name, ok, err)
		}
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := ask(t, gone, slow); !errors.Is(err, context.Canceled) {
		t.Errorf("for a client that has left: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(200, []byte(`{"success":true}`))
	f.Add(400, []byte(`{"success":false,"error-codes":["invalid-input-secret"]}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		ok, err := read(status, body)
		if ok && (err != nil || status != 200 || len(body) > maxAnswer || !strings.Contains(strings.ToLower(string(body)), "true")) {
			t.Errorf("%d %q: %v, %v", status, body, ok, err)
		}
	})
}
