package proxy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"pgregory.net/rapid"

	"penstock/proxy/gate"
	"penstock/rules"
	"penstock/rules/config"
)

var update = flag.Bool("update", false, "write the golden answers anew")

// told renders one answer for a request with this method and Accept.
func told(set *answers, reason gate.Reason, method, accept string, retry time.Duration, detail string) *fasthttp.Response {
	r := &request{c: &fasthttp.RequestCtx{}}
	r.head.method, r.head.accept = []byte(method), []byte(accept)
	set[reason].write(r, retry, detail)
	resp := &fasthttp.Response{SkipBody: method == "HEAD"}
	resp.Header.SetNoDefaultContentType(true)
	if err := resp.Read(bufio.NewReader(bytes.NewReader(r.out))); err != nil {
		panic(err)
	}
	return resp
}

// status and wait are what the contract says of each reason: whether asking again can
// make sense.
var contract = map[string]struct {
	status int
	wait   bool
}{
	"not_open": {403, true}, "closed": {410, false}, "no_account": {403, false}, "banned": {403, true},
	"not_eligible": {403, false}, "challenge": {403, false}, "rate_limited": {429, true}, "in_flight": {429, true},
	"sold_out": {409, true}, "already_bought": {409, false}, "order_pending": {409, false},
	"reservation_expired": {409, false}, "limit": {409, false}, "unknown_item": {404, false},
	"overloaded": {503, true}, "paused": {503, true}, "draining": {503, true}, "store_unavailable": {503, true},
	"origin_unreachable": {502, true}, "origin_failed": {502, false}, "origin_timeout": {504, false},
	"bad_request": {400, false}, "method": {405, false}, "body_too_large": {413, false}, "body_timeout": {408, false},
	"head_too_large": {431, false}, "internal": {500, false},
}

func TestEveryReasonHasAnAnswer(t *testing.T) {
	all := render()
	var named []string
	for _, reason := range gate.Reasons() {
		if reason == gate.Unset || reason == gate.Admitted || reason == gate.ClientGone || reason == gate.Preflight {
			if all[reason] != nil {
				t.Errorf("%s has an answer, and nobody to read it", reason)
			}
			continue
		}
		named = append(named, reason.String())
		want, ok := contract[reason.String()]
		if all[reason] == nil || !ok || all[reason].status != want.status {
			t.Errorf("%s: got %+v, want an answer with status %d", reason, all[reason], want.status)
		}
	}
	slices.Sort(named)
	may := slices.Sorted(slices.Values(config.Reasons()))
	if !slices.Equal(named, may) {
		t.Errorf("answers for %v, but a file may change %v", named, may)
	}
}

func TestAnswersSayWhatTheContractSays(t *testing.T) {
	all := render()
	for reason := range table {
		for _, accept := range []string{"", "text/html,*/*;q=0.8"} {
			for _, retry := range []time.Duration{0, 1500 * time.Millisecond} {
				resp := told(all, reason, "POST", accept, retry, "")
				h := &resp.Header
				if got := string(h.Peek("Penstock-Reason")); got != reason.String() {
					t.Errorf("%s: Penstock-Reason %q", reason, got)
				}
				if got := string(h.Peek("Cache-Control")); got != "no-store" {
					t.Errorf("%s: Cache-Control %q, want no-store", reason, got)
				}
				if got := string(h.Peek("Retry-After")); (got != "") != (retry > 0) {
					t.Errorf("%s, retry %v: Retry-After %q", reason, retry, got)
				}
				want := "application/problem+json"
				if accept != "" {
					want = "text/html; charset=utf-8"
				}
				if got := string(h.ContentType()); got != want {
					t.Errorf("%s, Accept %q: Content-Type %q, want %q", reason, accept, got, want)
				}
			}
		}
	}
}

// problem is our problem+json.
type problem struct {
	Title, Reason, Detail string
	Status                int
	RetryAfterMS          *int64 `json:"retry_after_ms"`
	Final                 *bool
}

func TestProblemIsJSON(t *testing.T) {
	all := render()
	rapid.Check(t, func(t *rapid.T) {
		reason := rapid.SampledFrom(slices.Sorted(func(yield func(gate.Reason) bool) {
			for r := range table {
				if !yield(r) {
					return
				}
			}
		})).Draw(t, "reason")
		retry := time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "retry"))
		detail := rapid.String().Draw(t, "detail")
		resp := told(all, reason, "POST", "", retry, detail)
		var p problem
		if err := json.Unmarshal(resp.Body(), &p); err != nil {
			t.Fatalf("%s is not JSON: %v", resp.Body(), err)
		}
		if detail == "" {
			detail = table[reason].detail
		}
		if p.Reason != reason.String() || p.Status != resp.StatusCode() || p.Title == "" || p.Detail != detail {
			t.Errorf("got %+v, want %s, %d, %q", p, reason, resp.StatusCode(), detail)
		}
		if (p.RetryAfterMS != nil) != (retry > 0) || (p.Final != nil) != (reason == gate.SoldOut) || p.Final != nil && *p.Final != (retry == 0) {
			t.Errorf("retry %v: got %s", retry, resp.Body())
		}
		if retry > 0 {
			after, err := strconv.ParseInt(string(resp.Header.Peek("Retry-After")), 10, 64)
			ms := *p.RetryAfterMS
			if err != nil || time.Duration(ms)*time.Millisecond < retry || after*1000 < ms || after > ms/1000+1 {
				t.Errorf("retry %v: got Retry-After %d and %d ms", retry, after, ms)
			}
		}
	})
}

func TestJitterOnlyLengthensAndIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(t, "wait"))
		if got := jitter(d); got < d || got > d+maxJitter {
			t.Errorf("a wait of %v became %v, want at most %v more", d, got, maxJitter)
		}
	})
	if maxJitter > 2*time.Second {
		t.Errorf("waits are spread over %v, want at most 2s", maxJitter)
	}
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[jitter(time.Minute)] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 waits of a minute have %d lengths, want them spread", len(seen))
	}
}

// masked hides the numbers that jitter makes.
func masked(body []byte) []byte {
	body = regexp.MustCompile(`"retry_after_ms":\d+`).ReplaceAll(body, []byte(`"retry_after_ms":…`))
	return regexp.MustCompile(`(data-seconds="|<b id="left">|wait )[1-9]\d*`).ReplaceAll(body, []byte(`${1}…`))
}

func TestGoldenAnswers(t *testing.T) {
	all := render()
	for reason := range table {
		retry := time.Duration(0)
		if contract[reason.String()].wait {
			retry = 5 * time.Second
		}
		for ext, accept := range map[string]string{".json": "", ".html": "text/html"} {
			got := masked(told(all, reason, "POST", accept, retry, "").Body())
			path := filepath.Join("testdata", "answers", reason.String()+ext)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
			}
		}
	}
}

func TestPage(t *testing.T) {
	all := render()
	for _, method := range []string{"POST", "GET", "HEAD", "PUT"} {
		for _, retry := range []time.Duration{0, 3 * time.Second} {
			r := &request{}
			r.head.method = []byte(method)
			body := string(all[gate.RateLimited].pageFor(r, retry, `<script>alert("1")</script>{seconds}&`))
			if strings.Contains(body, "<script>alert") || !strings.Contains(body, "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;{seconds}&amp;") {
				t.Errorf("%s: markup of a detail got into the page:\n%s", method, body)
			}
			if open := regexp.MustCompile(`\{(detail|repost)\}|[^;]\{seconds\}`).FindString(body); open != "" {
				t.Errorf("%s: slot %q is not filled", method, open)
			}
			repost := "1"
			if method == "GET" || method == "HEAD" {
				repost = "0"
			}
			if !strings.Contains(body, `data-repost="`+repost+`"`) {
				t.Errorf("%s: want repost %s in\n%s", method, repost, body)
			}
			if strings.Contains(body, "http-equiv") || strings.Contains(body, "submit()") || strings.Count(body, "location.reload()") != 1 || !strings.Contains(body, "if (again) location.reload()") {
				t.Errorf("%s: the page may come back by itself:\n%s", method, body)
			}
			for _, outside := range []string{"src=", "href=\"http", "url(", "@import"} {
				if strings.Contains(body, outside) {
					t.Errorf("%s: the page needs %q from elsewhere", method, outside)
				}
			}
		}
	}
}

func TestAcceptChoosesTheForm(t *testing.T) {
	for accept, html := range map[string]bool{
		"": false, "*/*": false, "application/json": false, "application/json, text/plain, */*": false,
		"text/html": true, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": true,
		"application/json, text/html;q=0.5": false, "text/html, application/json;q=0.5": true,
		"application/problem+json, text/html": false,
	} {
		resp := told(render(), gate.SoldOut, "GET", accept, 0, "")
		if got := strings.HasPrefix(string(resp.Header.ContentType()), "text/html"); got != html {
			t.Errorf("Accept %q: got a page: %v, want %v", accept, got, html)
		}
	}
}

func TestOverrides(t *testing.T) {
	top := map[string]*rules.Answer{
		"sold_out":  {Status: 418, Page: []byte("<p>top</p>"), JSON: []byte(`{"from":"top"}`)},
		"not_open":  {Redirect: "/soon"},
		"closed":    {Status: 404},
		"in_flight": {JSON: []byte(`{"from":"top"}`)},
	}
	own := map[string]*rules.Answer{"sold_out": {Page: []byte("<p>own</p>")}, "in_flight": {Status: 503}}
	all := render(top, own)
	cases := []struct {
		reason               gate.Reason
		accept               string
		status               int
		kind, body, location string
	}{
		{gate.SoldOut, "text/html", 418, "text/html; charset=utf-8", "<p>own</p>", ""},
		{gate.SoldOut, "", 418, "application/json", `{"from":"top"}`, ""},
		{gate.NotOpen, "text/html", 303, "", "", "/soon"},
		{gate.NotOpen, "", 403, "application/problem+json", `"reason":"not_open"`, ""},
		{gate.Closed, "", 404, "application/problem+json", `"status":404`, ""},
		{gate.InFlight, "", 503, "application/json", `{"from":"top"}`, ""},
	}
	for _, c := range cases {
		resp := told(all, c.reason, "GET", c.accept, time.Second, "")
		h := &resp.Header
		if resp.StatusCode() != c.status || string(h.ContentType()) != c.kind || !strings.Contains(string(resp.Body()), c.body) ||
			string(h.Peek("Location")) != c.location || c.location != "" && len(resp.Body()) != 0 {
			t.Errorf("%s, Accept %q: got %d %q %q, to %q; want %d %q %q, to %q", c.reason, c.accept,
				resp.StatusCode(), h.ContentType(), resp.Body(), h.Peek("Location"), c.status, c.kind, c.body, c.location)
		}
		if string(h.Peek("Penstock-Reason")) != c.reason.String() || string(h.Peek("Cache-Control")) != "no-store" || len(h.Peek("Retry-After")) == 0 {
			t.Errorf("%s, Accept %q: lost a header of ours: %s", c.reason, c.accept, h.Header())
		}
	}
	resp := told(render(top), gate.SoldOut, "GET", "", 0, "")
	if resp.StatusCode() != 418 || string(resp.Body()) != `{"from":"top"}` || string(resp.Header.ContentType()) != "application/json" {
		t.Errorf("at top level: got %d %s", resp.StatusCode(), resp.Body())
	}
}

func TestOverridesByPlace(t *testing.T) {
	says := func(s string) map[string]*rules.Answer {
		return map[string]*rules.Answer{"bad_request": {JSON: []byte(`"` + s + `"`)}, "rate_limited": {JSON: []byte(`"` + s + `"`)}}
	}
	g := newRig(t, func(s *rules.Set) {
		s.Answers, s.Sales[0].Answers = says("top"), says("sale")
		s.Routes = []*rules.Route{{Name: "r", Match: rules.Match{Path: "/r"}, Answers: says("route")}}
	})
	g.probes[schedule].says = refusing(gate.RateLimited)
	for raw, want := range map[string]string{
		buy: `"sale"`, crlf("GET /r HTTP/1.1", "Host: shop"): `"route"`, crlf("GET /x HTTP/1.1", "Host: shop"): `"top"`,
	} {
		if a := g.send(raw); a.body != want {
			t.Errorf("%.20q: got %q, want %q", raw, a.body, want)
		}
	}
}
