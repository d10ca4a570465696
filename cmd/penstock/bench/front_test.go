package bench

// What stands between the crowd and the shop.

import (
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// front starts something before a shop's address.
type front struct {
	name  string
	start func(tb testing.TB, shop string) server
}

var alone = front{"alone", func(_ testing.TB, shop string) server { return server{addr: shop, stop: func() {}} }}

const haproxyConf = `
global
  maxconn 9000
defaults
  mode http
  option abortonclose
  timeout client 30s
  timeout server 30s
  timeout connect 1s
  timeout queue QUEUE
frontend crowd
  bind ADDR
  default_backend shop
backend shop
  server shop SHOP maxconn MAXCONN
`

// setting is what is set by hand in HAProxy.
type setting struct {
	maxconn int
	queue   time.Duration
}

func (s setting) String() string {
	return fmt.Sprintf("maxconn %d, timeout queue %v", s.maxconn, s.queue)
}

func haproxy(s setting) front {
	return front{"HAProxy", func(tb testing.TB, shop string) server {
		dir, addr := tb.TempDir(), free(tb)
		conf := write(tb, dir, "haproxy.cfg", haproxyConf, "ADDR", addr, "SHOP", shop,
			"MAXCONN", strconv.Itoa(s.maxconn), "QUEUE", strconv.FormatInt(s.queue.Milliseconds(), 10))
		return start(tb, addr, dir, "/usr/sbin/haproxy", "-db", "-f", conf)
	}}
}

// penstockConf leaves all that concerns the load at its default, but that buyers wait no
// longer than HAProxy lets them.
const penstockConf = `
listen: "ADDR"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin:
  url: "http://SHOP"
  winners: {max_wait: BUYERSWAIT}
store: {embedded: {path: penstock.db}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    account: [{cookie: customer}]
    stock: {units: 10000000}
    limits: {ip: {rate: 100000/s, burst: 100000, in_flight: 0}}
`

// penstock runs with a configuration in which the words in pairs are replaced.
func penstock(conf string, pairs ...string) front {
	return front{"Penstock", func(tb testing.TB, shop string) server {
		dir, addr := tb.TempDir(), free(tb)
		file := write(tb, dir, "penstock.yaml", conf, append(pairs, "ADDR", addr, "SHOP", shop)...)
		return start(tb, addr, dir, filepath.Join(bins, "penstock"), "run", "-config", file)
	}}
}
