package bench

import (
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	if least, median, most := spread([]float64{3, 1, 2}); least != 1 || median != 2 || most != 3 {
		t.Errorf("the spread of 3, 1, 2 is %v, %v, %v", least, median, most)
	}
	var d []time.Duration
	if got := quantile(d, .99); got != 0 {
		t.Errorf("a quantile of nothing is %v", got)
	}
	for i := range 200 {
		d = append(d, time.Duration(200-i))
	}
	if p50, p99, all := quantile(d, .5), quantile(d, .99), quantile(d, 1); p50 != 101 || p99 != 199 || all != 200 {
		t.Errorf("of 1 to 200 the quantiles are %d, %d, %d", p50, p99, all)
	}
	if f := (figures{Seconds: 2, Useful: 10}); f.goodput() != 5 || ratio(1, 0) != 0 || ratio(1, 2) != .5 {
		t.Errorf("%v useful/s", f.goodput())
	}
}
