package rehearse

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// How much the origin can do at its best: pages per second, found by asking for them at
// one concurrency after the other. Here the loop is closed, on purpose.

const tryFor = 700 * time.Millisecond

// capacity is what was found.
type capacity struct {
	rate float64       // pages/s
	at   int           // with so many asked at once
	p99  time.Duration // of a page then
}

// calibrate asks the origin for a page, more and more at once, until that does not help
// any more.
func calibrate(ctx context.Context, address, host, page string) (capacity, error) {
	var best capacity
	worse := 0
	for n := 1; n <= 512 && worse < 2 && ctx.Err() == nil; n *= 2 {
		c, err := measure(ctx, address, host, page, n)
		if err != nil {
			return best, err
		}
		if c.rate > best.rate*1.02 {
			best, worse = c, 0
		} else {
			worse++
		}
	}
	if best.rate == 0 {
		return best, fmt.Errorf("calibrate: the origin at %s serves no page at %s", address, page)
	}
	return best, ctx.Err()
}

func measure(ctx context.Context, address, host, page string, n int) (capacity, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	var dial net.Dialer
	t := &http.Transport{MaxIdleConnsPerHost: n, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dial.DialContext(ctx, network, address)
	}}
	defer t.CloseIdleConnections()
	run, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	var served atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var trouble error
	began := time.Now()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for run.Err() == nil {
				at := time.Now()
				ok, err := fetchPage(run, t, host, page)
				if err != nil && run.Err() == nil {
					mu.Lock()
					trouble = err
					mu.Unlock()
					return
				}
				if ok {
					served.Add(1)
					mu.Lock()
					took = append(took, time.Since(at))
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if trouble != nil && served.Load() == 0 {
		return capacity{}, fmt.Errorf("calibrate: %w", trouble)
	}
	slices.Sort(took)
	c := capacity{rate: float64(served.Load()) / time.Since(began).Seconds(), at: n}
	if len(took) > 0 {
		c.p99 = took[len(took)*99/100]
	}
	return c, nil
}

func fetchPage(ctx context.Context, t *http.Transport, host, page string) (ok bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+page, nil)
	if err != nil {
		return false, err
	}
	resp, err := t.RoundTrip(r)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode < 400, err
}
