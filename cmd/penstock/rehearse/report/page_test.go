package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func render(t *testing.T, r *Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := WritePage(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// drawn is what the page's script is given.
func drawn(t *testing.T, page string) (d struct {
	Seconds int
	Phases  []mark
	Faults  []mark
	Charts  []struct {
		ID     string
		Series []struct {
			Label string
			V     []*float64
		}
	}
}) {
	t.Helper()
	m := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("the page has no data")
	}
	if err := json.Unmarshal([]byte(m[1]), &d); err != nil {
		t.Fatalf("read %.200s: %v", m[1], err)
	}
	return d
}

func TestPageHasEverySeries(t *testing.T) {
	page := render(t, sample(60))
	d := drawn(t, page)
	latency := "served, p99|served, p50|refused, p99|refused, p50"
	want := []string{
		"admitted|overloaded|sold_out|rate_limited|in_flight|already_bought|order_pending|left|all others|requests due|visitors arriving",
		"goodput|origin's best", latency, latency, latency, latency,
		"in flight|limit", "winner|order|browse", "sold|sending|reserved|free",
	}
	if len(d.Charts) != len(want) || d.Seconds != 60 || len(d.Phases) != 3 || len(d.Faults) != 1 {
		t.Fatalf("got %d charts of %d seconds, %v, %v", len(d.Charts), d.Seconds, d.Phases, d.Faults)
	}
	for i, c := range d.Charts {
		var labels []string
		for _, s := range c.Series {
			labels = append(labels, s.Label)
			if len(s.V) != 60 {
				t.Errorf("%s of %s has %d values, want 60", s.Label, c.ID, len(s.V))
			}
		}
		if got := strings.Join(labels, "|"); got != want[i] {
			t.Errorf("chart %d shows %s, want %s", i, got, want[i])
		}
	}
	if f, figures := d.Faults[0], strings.Count(page, "<figure"); f.From != 30 || f.To != 33 || figures != len(want) || strings.Count(page, "<caption>") != len(want)+1 {
		t.Errorf("fault %v, %d figures, %d captions", f, figures, strings.Count(page, "<caption>"))
	}
	for _, e := range sample(60).Expectations {
		if text := html.UnescapeString(page); !strings.Contains(text, e.Name) || !strings.Contains(text, e.Got) || !strings.Contains(text, e.Why) {
			t.Errorf("the page does not say %q", e)
		}
	}
}

// TestPageStaysSmall: ten minutes fit into a mail, and an hour's tables do not grow.
func TestPageStaysSmall(t *testing.T) {
	if n := len(render(t, sample(600))); n > 200<<10 {
		t.Errorf("ten minutes are a page of %d bytes, want at most %d", n, 200<<10)
	}
	for _, n := range []int{1, 20, 21, 600, 3600, 100000} {
		if rows := (n + stretch(n) - 1) / stretch(n); rows > mostRows {
			t.Errorf("%d seconds are %d rows, want at most %d", n, rows, mostRows)
		}
	}
}

func TestPageAsksNobody(t *testing.T) {
	page := render(t, sample(30))
	page = strings.NewReplacer(plotJS, "", plotLicense, "", html.EscapeString(plotLicense), "").Replace(page)
	if found := regexp.MustCompile(`(?i)(src|href|action|srcset|poster)\s*=|url\(|@import|https?:|fetch\(|XMLHttp|WebSocket|import\(`).FindAllString(page, -1); found != nil {
		t.Errorf("the page refers to something outside: %q", found)
	}
	if !strings.Contains(html.UnescapeString(page), "default-src 'none'") {
		t.Error("the page does not forbid itself the network")
	}
	if !strings.Contains(html.UnescapeString(render(t, sample(30))), strings.TrimSpace(plotLicense)) {
		t.Error("the page carries uPlot without its licence")
	}
}

const hostile = `</script><script>document.documentElement.dataset.owned=1</script><img src=x onerror="document.documentElement.dataset.owned=1">'"&{{.}}` + "`${1}`"

// infested is a result in which whatever has a name is hostile.
func infested(n int) *Result {
	r := sample(n)
	for _, s := range []*string{&r.Sale, &r.File, &r.Target, &r.Origin, &r.Command, &r.Changes[0], &r.Phases[1].Name, &r.Faults[0].What, &r.Classes[0].Name,
		&r.Expectations[0].Name, &r.Expectations[0].Want, &r.Expectations[0].Got, &r.Expectations[0].Why} {
		*s = hostile
	}
	r.Totals.Answers[hostile] = 1 << 40
	for i := range r.Seconds {
		r.Seconds[i].Answers[hostile] = 5000
		r.Seconds[i].Classes[hostile] = r.Seconds[i].Classes["page"]
		r.Seconds[i].Gateway.Queue[hostile] = 50
	}
	return r
}

func TestPageEscapesNames(t *testing.T) {
	page := render(t, infested(30))
	if n := strings.Count(page, "<script"); n != 3 {
		t.Errorf("the page has %d scripts, want 3", n)
	}
	if strings.Contains(page, "<img") {
		t.Error("a name became an element")
	}
	found := 0
	for _, c := range drawn(t, page).Charts {
		for _, s := range c.Series {
			if s.Label == hostile {
				found++
			}
		}
	}
	if found != 2 {
		t.Errorf("%d series have the hostile name, want those of answers and of queues", found)
	}
}

func TestPageOfAlmostNothing(t *testing.T) {
	for _, r := range []*Result{{}, {Seconds: []Second{{}, {Classes: map[string]Moment{"a": {Served: &Pair{Millis(math.Inf(1)), 0}}}}}, Stock: Stock{Loaded: 1, Orders: -1}}} {
		page := render(t, r)
		for _, c := range drawn(t, page).Charts {
			for _, s := range c.Series {
				if len(s.V) != len(r.Seconds) {
					t.Errorf("%s has %d values, want %d", s.Label, len(s.V), len(r.Seconds))
				}
			}
		}
		if !strings.Contains(page, "NO GO") || !strings.Contains(page, "Nothing was measured.") {
			t.Error("the page does not say that there is nothing")
		}
	}
}

func TestColumnsAreShort(t *testing.T) {
	got, err := json.Marshal(column{0, 1, 1.5, 0.014, 99.999, 260.4, 12345.6, math.NaN(), math.Inf(1)})
	if want := "[0,1,1.5,0.01,100,260,12346,null,null]"; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// TestBrowserDrawsThePage opens the page in a real Chromium: every chart is drawn, and no
// script fails or is kept from running.
func TestBrowserDrawsThePage(t *testing.T) {
	for name, r := range map[string]*Result{"sample": sample(90), "hostile": infested(60), "empty": {}, "one second": sample(1)} {
		page := render(t, r)
		dom, console := browse(t, page)
		if want := fmt.Sprintf(`data-drawn="%d"`, len(drawn(t, page).Charts)); !strings.Contains(dom, want) || strings.Count(dom, "<canvas") != len(drawn(t, page).Charts) {
			t.Errorf("%s: %d canvases, and no %s in %.200s", name, strings.Count(dom, "<canvas"), want, dom)
		}
		if console != "" {
			t.Errorf("%s: the browser says\n%s", name, console)
		}
		if strings.Contains(dom, "data-owned=\"1\"") {
			t.Errorf("%s: a name ran as a script", name)
		}
	}
}

// browse is the page as a browser has it once its scripts have run, and what its console
// says.
func browse(t *testing.T, page string) (dom, console string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "page.html")
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("find a browser (make needs installs it): %v", err)
	}
	cmd := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+filepath.Join(dir, "profile"),
		"--window-size=1280,1000", "--virtual-time-budget=2000", "--enable-logging=stderr", "--dump-dom", "file://"+path)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("run %s: %v\n%s", browser, err, errs.String())
	}
	var said []string
	for line := range strings.Lines(errs.String()) {
		if strings.Contains(line, "CONSOLE") {
			said = append(said, line)
		}
	}
	return out.String(), strings.Join(said, "")
}
