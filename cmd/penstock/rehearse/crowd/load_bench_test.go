package crowd

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// BenchmarkRequest is what one request costs the crowd, the server's work included, over
// loopback and kept connections. A crowd of 8,000 a second has 125 µs for each.
func BenchmarkRequest(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for in := bufio.NewReader(c); ; {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					io.Copy(io.Discard, r.Body)
					if _, err := io.WriteString(c, fine); err != nil {
						return
					}
				}
			}()
		}
	}()
	const rate = 8000.0
	c, err := New(Plan{
		Target: ln.Addr().String(), Phases: flat(rate, time.Duration(float64(b.N)/rate*float64(time.Second))+time.Second),
		Visitors: []Visitor{{Steps: []Step{{Class: "buy", Method: "POST", Path: "/buy", Body: "qty=1"}}, Cookies: []string{"PHPSESSID={account}"}, Header: []string{"X-Forwarded-For: {address}"}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	before := cpu(b)
	t := c.Run(b.Context(), nil)
	if served := total(t, Served); served != t.Requests {
		b.Errorf("%d of %d served: %+v", served, t.Requests, t.Groups)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(t.Requests), "µs-cpu/request")
	b.ReportMetric(float64(t.Lag.ValueAtQuantile(99)), "µs-lag-p99")
	b.ReportMetric(float64(t.Groups[0].Latency.ValueAtQuantile(99)), "µs-p99")
	b.ReportMetric(float64(t.Requests)/t.Took.Seconds(), "requests/s")
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
