package proxy

// How the tests of the page with the puzzle have a browser, and visit a shop with it.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browserPatience bounds one visit.
const browserPatience = 60 * time.Second

// browser is a Chromium with a profile of its own. To it shop.test is this machine, and no
// secure context, as shops on plain HTTP are not.
func browser(t testing.TB, preferences string) context.Context {
	t.Helper()
	profile := t.TempDir()
	if preferences != "" {
		if err := os.MkdirAll(filepath.Join(profile, "Default"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(profile, "Default", "Preferences"), []byte(preferences), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.UserDataDir(profile),
		chromedp.ExecPath("chromium"), chromedp.WSURLReadTimeout(browserPatience),
		chromedp.Flag("host-resolver-rules", "MAP shop.test 127.0.0.1"), chromedp.Flag("disable-http-cache", true))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("end the browser: %v", err)
		}
		cancel()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium (make needs installs it): %v", err)
	}
	return ctx
}

// visit is somebody's visit in a tab, with no cookies of others.
type visit struct {
	t   *testing.T
	ctx context.Context

	mu   sync.Mutex
	said []string // errors in the console
}

func visits(t *testing.T, browser context.Context, options ...chromedp.ContextOption) *visit {
	t.Helper()
	tab, cancel := chromedp.NewContext(browser, options...)
	t.Cleanup(cancel)
	if err := chromedp.Do(tab); err != nil { // whose context is the tab's life
		t.Fatalf("open a tab: %v", err)
	}
	ctx, stop := context.WithTimeout(tab, browserPatience)
	t.Cleanup(stop)
	v := &visit{t: t, ctx: ctx}
	err := chromedp.Listen(ctx, func(e any) {
		text := ""
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			text = fmt.Sprint(e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
		case *log.EventEntryAdded:
			if e.Entry.Source == "security" || e.Entry.Source == "violation" {
				text = e.Entry.Text
			}
		}
		if text != "" {
			v.mu.Lock()
			v.said = append(v.said, text)
			v.mu.Unlock()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *visit) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	if err := chromedp.Do(v.ctx, steps...); err != nil {
		v.t.Fatalf("%s: %v; %s", what, err, v.reads())
	}
}

// reads is what stands on the page, and what the console says.
func (v *visit) reads() string {
	ctx, stop := context.WithTimeout(context.WithoutCancel(v.ctx), 2*time.Second)
	defer stop()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.title + ': ' + document.body.innerText"))
	v.mu.Lock()
	defer v.mu.Unlock()
	return fmt.Sprintf("the page: %q (%v), the console: %q", text, err, v.said)
}

// sees waits for words on the page, and on the one that may come in its place.
func (v *visit) sees(words string) {
	v.t.Helper()
	v.holds(fmt.Sprintf("document.body.innerText.includes(%q)", words))
}

// holds waits until an expression does. While another page is coming it cannot be asked.
func (v *visit) holds(expression string) {
	v.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := chromedp.Run(v.ctx, chromedp.Evaluate[bool](expression)); err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-v.ctx.Done():
			v.t.Fatalf("wait for %s: %v; %s", expression, v.ctx.Err(), v.reads())
		}
	}
}

func (v *visit) enters(url string) {
	v.t.Helper()
	v.do("enter "+url, chromedp.Navigate(url))
}

func (v *visit) clicks(selector chromedp.CSS) {
	v.t.Helper()
	v.do("click "+string(selector), chromedp.Click(selector))
}

func (v *visit) types(text string) {
	v.t.Helper()
	v.do("type "+text, chromedp.SendKeys(chromedp.CSS("#text"), text))
}

// quiet asserts that no script failed and nothing was kept from running.
func (v *visit) quiet() {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.said) > 0 {
		v.t.Errorf("the console says %q", v.said)
	}
}
