package proxy

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/proxy/gate"
	"penstock/rules"
)

// counted reads a metric by its labels, as far as it has counted anything.
func counted(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			if n := m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()); n != 0 {
				counts[strings.Join(labels, " ")] = n
			}
		}
	}
	return counts
}

func total(counts map[string]float64) (n float64) {
	for _, c := range counts {
		n += c
	}
	return n
}

func TestRequestsAreCountedByWhatTheyWereTold(t *testing.T) {
	g := newRig(t, func(s *rules.Set) {
		s.Routes = []*rules.Route{{Name: "product", Match: rules.Match{Path: "/p/**"}, Priority: rules.Checkout}}
		second := sale()
		second.Name, second.Match.Path, second.Enforce = "watched", "/watched.php", false
		s.Sales = append(s.Sales, second)
	})
	g.shop.saysRaw("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
	g.send(buy)
	g.probes[stock].says = refusing(gate.SoldOut)
	g.send(buy)
	g.send(buy)
	g.send(strings.Replace(buy, "/buy.php", "/watched.php", 1))
	g.probes[stock].says = nil
	g.send(crlf("GET /p/1 HTTP/1.1", "Host: shop"))
	g.send(crlf("GET /else HTTP/1.1", "Host: shop"))
	g.send(crlf("GET /a#b HTTP/1.1", "Host: shop"))
	g.send("nonsense\r\n\r\n")
	m := g.proxy.metrics
	for _, c := range []struct {
		metric prometheus.Collector
		want   map[string]float64
	}{
		{m.requests, map[string]float64{
			"reason=admitted route= sale=phone": 1, "reason=sold_out route= sale=phone": 2, "reason=admitted route= sale=watched": 1,
			"reason=admitted route=product sale=": 1, "reason=admitted route= sale=": 1, "reason=bad_request route= sale=": 2,
		}},
		{m.watched, map[string]float64{"gate=stock reason=sold_out sale=watched": 1}},
		{m.decisions, map[string]float64{"reason=admitted sale=phone": 1, "reason=sold_out sale=phone": 2, "reason=sold_out sale=watched": 1}},
		{m.wait, map[string]float64{"priority=winner": 1, "priority=order": 1, "priority=checkout": 1, "priority=browse": 1}},
		{m.outcomes, map[string]float64{"outcome=sold sale=phone": 1}},
		{m.origin, map[string]float64{"route= sale=phone": 1, "route= sale=watched": 1, "route=product sale=": 1, "route= sale=": 1}},
	} {
		if got := counted(t, c.metric); !maps.Equal(got, c.want) {
			t.Errorf("counted %v, want %v", got, c.want)
		}
	}
}

func TestLabelsComeFromTheFileOnly(t *testing.T) {
	g := newRig(t, nil)
	const mark = "q7x"
	for _, raw := range []string{
		strings.ReplaceAll(buy, "alice", mark),
		crlf("GET /"+mark+"?"+mark+"="+mark+" HTTP/1.1", "Host: "+mark, "User-Agent: "+mark, "X-Forwarded-For: "+mark, mark+": "+mark),
		crlf("X"+strings.ToUpper(mark[:1])+" /"+mark+" HTTP/1.1", "Host: "+mark),
	} {
		g.send(raw)
	}
	m := g.proxy.metrics
	for _, c := range []prometheus.Collector{m.requests, m.watched, m.decisions, m.wait, m.outcomes, m.duration, m.gate, m.origin} {
		for labels := range counted(t, c) {
			if strings.Contains(labels, mark) {
				t.Errorf("a client's string became a label: %s", labels)
			}
		}
	}
}

func TestPanicsAreCounted(t *testing.T) {
	g := newRig(t, nil)
	g.probes[place].says = func(context.Context, *gate.Facts) gate.Verdict { panic("boom") }
	g.send(buy)
	if got := total(counted(t, g.proxy.metrics.panics)); got != 1 {
		t.Errorf("counted %v panics, want 1", got)
	}
	if got := counted(t, g.proxy.metrics.requests)["reason=internal route= sale=phone"]; got != 1 {
		t.Errorf("counted %v internal errors, want 1", got)
	}
}
