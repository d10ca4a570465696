package bench

// The proxies that are measured side by side for what a request costs, each with the
// nearest it can do: refusing by a limit per account, and forwarding to an origin that
// answers 1 KiB from memory.

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

const nginxConf = `
worker_processes 1; daemon off; pid DIR/pid; error_log DIR/err crit;
events { worker_connections 9000; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3; uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;
  limit_req_zone $http_x_account zone=acct:32m rate=1r/m;
  limit_conn_zone $binary_remote_addr zone=ip:32m;
  limit_req_status 429; limit_req_log_level error;
  upstream origin { server ORIGIN; keepalive 256; keepalive_requests 100000000; }
  server { listen ADDR; ROLE }
}
`

const (
	originRole = `default_type application/json; location / { return 200 '{"order":"accepted","pad":"PAD"}'; }`
	proxyRole  = `
    location / { limit_conn ip 10000; proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }
    location /buy { limit_req zone=acct; limit_conn ip 10000; proxy_pass http://origin; error_page 429 @no; }
    location @no { internal; default_type application/json; add_header Retry-After 1 always; return 429 'BODY'; }`
	refusalBody = `{"code":"rate_limited","message":"Too many requests, please retry"}`
)

const haproxyPeer = `
global
  maxconn 8000
  nbthread 1
defaults
  mode http
  timeout client 300s
  timeout server 60s
  timeout connect 5s
  timeout queue 2s
  option http-keep-alive
  http-reuse always
frontend crowd
  bind ADDR
  stick-table type string len 32 size 1m expire 60s store http_req_rate(60s),conn_cur
  http-request track-sc0 hdr(x-account) if { path /buy }
  http-request return status 429 content-type application/json hdr Retry-After 1 string 'BODY' if { path /buy } { sc_http_req_rate(0) gt 1 }
  option forwardfor
  default_backend origin
backend origin
  server o ORIGIN maxconn 256
`

// penstockPeer has every gate. Of the one unit everybody is refused after the first: that
// goes through the gates for address and account to the latch.
const penstockPeer = `
listen: "ADDR"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
client: {idle: 300s}
origin: {url: "http://SHOP", concurrency: 256}
store: {embedded: {path: penstock.db}}
sales:
  - name: phone
    match: {methods: [GET], path: /buy}
    account: [{header: X-Account}]
    stock: {units: 1}
    limits:
      ip: {rate: 100000/s, burst: 100000, in_flight: 10000}
      account: {rate: 100000/s, burst: 100000, in_flight: 1000}
`

func nginxRole(role string) front {
	return front{"nginx", func(tb testing.TB, origin string) server {
		dir, addr := tb.TempDir(), free(tb)
		role := strings.NewReplacer("PAD", strings.Repeat("x", 990), "BODY", refusalBody).Replace(role)
		conf := write(tb, dir, "nginx.conf", nginxConf, "DIR", dir, "ADDR", addr, "ORIGIN", origin, "ROLE", role)
		return start(tb, addr, dir, "/usr/sbin/nginx", "-p", dir, "-e", filepath.Join(dir, "err"), "-c", conf)
	}}
}

var haproxyFront = front{"HAProxy", func(tb testing.TB, origin string) server {
	dir, addr := tb.TempDir(), free(tb)
	conf := write(tb, dir, "haproxy.cfg", haproxyPeer, "ADDR", addr, "ORIGIN", origin, "BODY", refusalBody)
	return start(tb, addr, dir, "/usr/sbin/haproxy", "-db", "-f", conf)
}}

// bare is fasthttp with nothing behind it: this binary, started anew.
var bare = front{"bare fasthttp", func(tb testing.TB, _ string) server {
	addr := free(tb)
	tb.Setenv(bareAddr, addr)
	defer os.Unsetenv(bareAddr)
	return start(tb, addr, tb.TempDir(), os.Args[0])
}}

const bareAddr = "PENSTOCK_BENCH_BARE"

func serveBare(addr string) error {
	body := []byte(refusalBody)
	s := &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(c *fasthttp.RequestCtx) {
		c.SetStatusCode(fasthttp.StatusTooManyRequests)
		c.Response.Header.Set("Retry-After", "1")
		c.SetContentType("application/json")
		c.SetBody(body)
	}}
	return s.ListenAndServe(addr)
}

// cost is what the kernel has booked on a process and its children: processor time in
// seconds, memory in bytes.
func cost(tb testing.TB, pid int) (cpu float64, rss int64) {
	tb.Helper()
	for _, p := range append(children(tb, pid), pid) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		f := strings.Fields(rest)
		user, _ := strconv.ParseInt(f[11], 10, 64)
		system, _ := strconv.ParseInt(f[12], 10, 64)
		pages, _ := strconv.ParseInt(f[21], 10, 64)
		cpu += float64(user+system) / 100 // USER_HZ
		rss += pages * int64(os.Getpagesize())
	}
	return cpu, rss
}

func children(tb testing.TB, pid int) (all []int) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for _, t := range tasks {
		list, _ := os.ReadFile(t)
		for _, one := range strings.Fields(string(list)) {
			n, err := strconv.Atoi(one)
			if err != nil {
				tb.Fatal(err)
			}
			all = append(append(all, n), children(tb, n)...)
		}
	}
	return all
}

// idlers opens n connections, has one request answered on each, and leaves them open.
func idlers(tb testing.TB, addr, request string, n int) (closeAll func()) {
	tb.Helper()
	conns := make([]net.Conn, 0, n)
	buf := make([]byte, 4096)
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := c.Write([]byte(request)); err != nil {
			tb.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			tb.Fatal(err)
		}
		conns = append(conns, c)
	}
	return func() {
		for _, c := range conns {
			c.Close()
		}
	}
}
