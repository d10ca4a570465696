package proxy

// The page with the puzzle in a real browser: what people meet. It needs chromium in PATH
// (make needs installs it) and fails without.

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	devtools "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"penstock/proxy/gate"
	"penstock/proxy/pages"
	"penstock/rules"
)

// storefront is a shop with a button, whose sale everyone must pass a challenge for.
func storefront(t testing.TB) (g *rig, c *riddler, port string) {
	t.Helper()
	g, c = challenged(t, func(s *rules.Set) {
		opened := sale()
		opened.Name, opened.Match = "page", rules.Match{Methods: []string{"GET"}, Path: "/drop"}
		opened.Challenge = &rules.Challenge{Everyone: true, Enforce: true}
		s.Sales = append(s.Sales, opened)
	})
	g.shop.says(func(request string) []byte {
		body := `<title>Shop</title><h1>The shop</h1><form method="post" action="/buy.php"><button id="buy">Buy</button></form>`
		switch {
		case strings.HasPrefix(request, "POST /buy.php"), strings.HasPrefix(request, "GET /drop"):
			body = "<title>Bought</title><h1>You have bought it</h1>"
		case strings.HasPrefix(request, "GET /favicon"):
			return []byte("HTTP/1.1 204 No Content\r\n\r\n")
		}
		return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	})
	_, port, err := net.SplitHostPort(g.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.next.Bits = 12
	return g, c, port
}

// TestChallengeInABrowser: people who press the button end with what they wanted.
func TestChallengeInABrowser(t *testing.T) {
	tab := browser(t, "")
	for name, k := range map[string]struct {
		host   string
		before string // a script that runs before the page's
		secure bool
	}{
		"in a secure context": {"localhost", "", true},
		"on plain HTTP":       {"shop.test", "", false},
		"without workers":     {"shop.test", "delete window.Worker", false},
		"with broken workers": {"shop.test", "URL.createObjectURL = function () { return '/nothing.js' }", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, c, port := storefront(t)
			c.next.Wait = 500 * time.Millisecond
			v := visits(t, tab, chromedp.WithNewBrowserContext())
			if _, err := chromedp.Call(v.ctx, devtools.AddScriptToEvaluateOnNewDocument, devtools.AddScriptToEvaluateOnNewDocumentParams{Source: k.before}); err != nil {
				t.Fatal(err)
			}
			v.enters("http://" + k.host + ":" + port + "/p/1")
			v.holds(fmt.Sprintf("isSecureContext === %v && !!(window.crypto && crypto.subtle) === %[1]v", k.secure))
			v.clicks("#buy")
			v.sees("Thank you")
			v.sees("press the button again")
			v.holds("document.getElementById('bar').getAttribute('aria-valuenow') === '100' && document.activeElement.id === 'back'")
			v.clicks("#back")
			v.sees("The shop")
			v.clicks("#buy")
			v.sees("You have bought it")
			if name != "with broken workers" { // whose failure the console may tell
				v.quiet()
			}
			c.change(func() {
				if len(c.answers) != 1 {
					t.Errorf("%d answers were sent, want 1", len(c.answers))
				}
			})
		})
	}
	t.Run("a page that is opened", func(t *testing.T) {
		_, _, port := storefront(t)
		v := visits(t, tab, chromedp.WithNewBrowserContext())
		v.enters("http://shop.test:" + port + "/drop")
		v.sees("You have bought it")
		v.quiet()
	})
	t.Run("a page that asks again", func(t *testing.T) { // a proof that is kept and counts for nothing
		_, c, port := storefront(t)
		v := visits(t, tab, chromedp.WithNewBrowserContext())
		c.change(func() { c.useless = true })
		v.enters("http://shop.test:" + port + "/drop")
		v.sees("You have just passed a check")
		c.change(func() {
			if len(c.answers) != 1 {
				t.Errorf("%d answers were sent: the page goes round", len(c.answers))
			}
		})
	})
	t.Run("digits instead", func(t *testing.T) {
		_, c, port := storefront(t)
		c.next.Bits = 40 // nobody waits for that
		v := visits(t, tab, chromedp.WithNewBrowserContext())
		v.enters("http://shop.test:" + port + "/p/1")
		v.clicks("#buy")
		v.clicks("#offer")
		v.holds("document.getElementById('image').naturalWidth > 0")
		v.types(digits)
		v.clicks("#typed button")
		v.sees("Thank you")
		v.clicks("a")
		v.sees("The shop")
		v.clicks("#buy")
		v.sees("You have bought it")
		v.quiet()
	})
	for err, words := range map[error]string{
		gate.ErrWrongAnswer: "not the right answer", gate.ErrLateAnswer: "too late", gate.ErrForeign: "Allow cookies", gate.ErrUnchecked: "send it again",
	} {
		t.Run(words, func(t *testing.T) {
			_, c, port := storefront(t)
			c.change(func() { c.err = err })
			v := visits(t, tab, chromedp.WithNewBrowserContext())
			v.enters("http://shop.test:" + port + "/p/1")
			v.clicks("#buy")
			v.sees(words)
			if err == gate.ErrUnchecked {
				c.change(func() { c.err = nil })
				v.clicks("#again")
				v.sees("Thank you")
			}
		})
	}
	t.Run("a proof that does not stick", func(t *testing.T) {
		_, c, port := storefront(t)
		c.change(func() { c.clears = 0 })
		v := visits(t, tab, chromedp.WithNewBrowserContext())
		v.enters("http://shop.test:" + port + "/p/1")
		v.clicks("#buy")
		v.sees("Cookies are off")
	})
}

func TestChallengeWithCookiesOff(t *testing.T) {
	tab := browser(t, `{"profile": {"default_content_setting_values": {"cookies": 2}}}`)
	_, c, port := storefront(t)
	for _, path := range []string{"/p/1", "/drop"} {
		v := visits(t, tab)
		v.enters("http://shop.test:" + port + path)
		if path == "/p/1" {
			v.clicks("#buy")
		}
		v.sees("Cookies are off")
		v.sees("Allow cookies for this site")
	}
	c.change(func() {
		if len(c.asked) != 2 || len(c.answers) != 0 {
			t.Errorf("%d puzzles and %d answers: the page goes round", len(c.asked), len(c.answers))
		}
	})
}

func TestChallengeWithScriptsOff(t *testing.T) {
	tab := browser(t, "")
	for _, captcha := range []bool{true, false} {
		_, c, port := storefront(t)
		c.next.Captcha = captcha
		v := visits(t, tab, chromedp.WithNewBrowserContext())
		if _, err := chromedp.Call(v.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
			t.Fatal(err)
		}
		v.enters("http://shop.test:" + port + "/p/1")
		v.clicks("#buy")
		if !captcha {
			v.do("read", chromedp.WaitVisible(chromedp.CSS("noscript b")))
			continue
		}
		v.do("look", chromedp.WaitVisible(chromedp.CSS("noscript img")))
		v.types(digits)
		v.clicks("#typed button")
		v.do("read", chromedp.WaitVisible(chromedp.Search(`//h1[text()="Thank you"]`)))
		v.clicks("a")
		v.clicks("#buy")
		v.do("read", chromedp.WaitVisible(chromedp.Search(`//h1[text()="You have bought it"]`)))
	}
}

// TestWidgetInABrowser: another provider's script draws its box, fills in its field, and is
// missed where it cannot be had.
func TestWidgetInABrowser(t *testing.T) {
	tab := browser(t, "")
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, `var box = document.querySelector('.w-box'), field = document.createElement('input');
			field.type = 'hidden'; field.name = 'w-response'; box.appendChild(field);
			setTimeout(function () { field.value = box.dataset.sitekey === 'public' ? 'a person' : 'nobody'; }, 300);`)
	}))
	t.Cleanup(provider.Close)
	for name, k := range map[string]struct {
		script, words string
		parts         int
		solved        bool
	}{
		"there":                   {provider.URL + "/api.js", "Thank you", 0, true},
		"away, with work instead": {"http://127.0.0.1:1/api.js", "Your browser does some work instead", 4, true},
		"away":                    {"http://127.0.0.1:1/api.js", "Allow it, then try again", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, c, port := storefront(t)
			c.next.Remote, c.next.Parts, c.next.Captcha = remote(), k.parts, false
			c.next.Remote.Script = k.script
			v := visits(t, tab, chromedp.WithNewBrowserContext())
			v.enters("http://shop.test:" + port + "/p/1")
			v.clicks("#buy")
			v.sees(k.words)
			if k.solved {
				v.sees("Thank you")
			} else {
				v.do("look", chromedp.WaitVisible(chromedp.CSS("#again")))
			}
		})
	}
}

// TestWorkIsSHA256: what the page finds, for seeds of every length around the ends of
// blocks, is what crypto/sha256 takes for it.
func TestWorkIsSHA256(t *testing.T) {
	v := visits(t, browser(t, ""))
	type job struct {
		Seed       string `json:"seed"`
		Part, Bits int
		N          uint64 `json:"n"`
	}
	var jobs []job
	for length := range 140 {
		jobs = append(jobs, job{strings.Repeat("s", length), length % 12, length % 11, 0})
	}
	in, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	jobs, err = chromedp.Run(v.ctx, chromedp.Evaluate[[]job](fmt.Sprintf("(function () { %s\nreturn %s.map(function (j) { j.n = work(j.seed, j.Part, j.Bits)(1e6); return j; }); })()", pages.Work(), in)))
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s:%d:%d", j.Seed, j.Part, j.N))
		if got := bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:])); got < j.Bits {
			t.Errorf("%d bytes of seed, %d bits: %d has %d", len(j.Seed), j.Bits, j.N, got)
		}
		for n := uint64(1e9); n < j.N; n++ { // it overlooks none
			sum := sha256.Sum256(fmt.Appendf(nil, "%s:%d:%d", j.Seed, j.Part, n))
			if bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:])) >= j.Bits {
				t.Fatalf("%d bytes of seed, %d bits: %d is overlooked", len(j.Seed), j.Bits, n)
			}
		}
	}
}

// BenchmarkWork: hashes in one thread of the browser, by the page's script and, to compare,
// by crypto.subtle in batches.
func BenchmarkWork(b *testing.B) {
	_, _, port := storefront(b)
	ctx := browser(b, "")
	if err := chromedp.Do(ctx, chromedp.Navigate("http://localhost:"+port+"/p/1")); err != nil {
		b.Fatal(err)
	}
	for name, script := range map[string]string{
		"script": "(function () { " + pages.Work() + "\nvar step = work('0123456789abcdef0123456789abcdef', 0, 60); step(200000); var at = performance.now(); step(1000000); return 1e9 / (performance.now() - at); })()",
		"subtle": `(async function () { var e = new TextEncoder(), at = performance.now(), n = 0;
			for (; n < 100000; n += 500) await Promise.all(Array.from({length: 500}, function (_, i) { return crypto.subtle.digest('SHA-256', e.encode('0123456789abcdef0123456789abcdef:0:' + (1e9 + n + i))); }));
			return n * 1000 / (performance.now() - at); })()`,
	} {
		b.Run(name, func(b *testing.B) {
			var sum float64
			for range b.N {
				rate, err := chromedp.Run(ctx, chromedp.Evaluate[float64](script, chromedp.EvalAwaitPromise))
				if err != nil {
					b.Fatal(err)
				}
				sum += rate
			}
			b.ReportMetric(sum/float64(b.N), "hashes/s")
		})
	}
}
