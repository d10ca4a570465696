package main_test

// Orders in steps: the unit is taken when something is put into the cart, and the order
// is placed by a later request, perhaps through another gateway, perhaps never.

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"penstock/limiter/stock/stocktest"
)

// A cart keeps its unit for RESERVE: 1s is the least that this origin's times allow.
const cartSale = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
trusted_proxies: [127.0.0.0/8]
origin:
  url: "http://SHOP"
  concurrency: 20
  max_concurrency: 20
  winners: {max_wait: 500ms}
  timeout: {connect: 500ms, response: 10s, idle_body: 5s}
store: STORE
routes:
  - {name: pay-callback, match: {methods: [POST], path: /pay/callback, from: [192.0.2.0/24]}, priority: checkout}
sales:
  - name: phone
    match: {methods: [POST], path: /cart/add}
    account: [{header: X-Account}]
    stock: {units: 20, reserve_for: RESERVE, unknown: keep}
    order: {match: {methods: [POST], path: /checkout/place}, without: WITHOUT}
    sold_when: [{status: ["302"], location: "/pay*"}]
    free_when:
      - {status: ["200"], body_contains: "<h1>Sold out</h1>"}
      - {status: ["200"], body_contains: "<h1>Card declined</h1>"}
      - {status: ["200"], body_contains: "<h1>Your cart is empty</h1>"}
    order_ref: {location: 'order=(\d+)'}
    limits: {ip: {rate: 100000/s, burst: 100000, in_flight: 1000}, account: {rate: 1000/s, burst: 1000, in_flight: 8}}
`

const cartUnits = 20

// Stores as the file names them.
const onEmbedded = `{embedded: {path: penstock.db}}`

func onRedis(server *stocktest.Server) string {
	return `{redis: {addrs: ["` + server.Addr + `"], timeout: 2s}}`
}

// onBothStores runs a test once on each kind of store, at the same time: such tests spend
// most of theirs waiting.
func onBothStores(t *testing.T, test func(t *testing.T, store string)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, onEmbedded)
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, onRedis(stocktest.StartRedis(t)))
	})
}

func startCart(t *testing.T, s *shop, store, reserve, without string) *gateway {
	t.Helper()
	return startGateway(t, write(t, t.TempDir(), cartSale, "SHOP", s.addr, "STORE", store, "RESERVE", reserve, "WITHOUT", without))
}

func adding(account string) []byte {
	return request("POST", "/cart/add", "qty=1", "X-Account: "+account)
}

func placing(account string) []byte {
	return request("POST", "/checkout/place", "confirm=1", "X-Account: "+account)
}

// shopper is one account, and how far it has come.
type shopper struct {
	account string
	leaves  bool  // after it has filled its cart
	over    bool  // it has left, or bought
	err     error // what it should not have met
}

// shopOnce makes one attempt from the cart to the thank-you page. Requests go through
// any of the gateways.
func (b *shopper) shopOnce(gateways []*gateway) error {
	through := func(request []byte) (*reply, error) {
		c := &client{addr: gateways[rand.IntN(len(gateways))].proxy}
		defer c.close()
		return c.do(request)
	}
	added, err := through(adding(b.account))
	if err != nil {
		return err
	}
	switch added.reason() {
	case "sold_out":
		return added.check(false)
	case "admitted", "order_pending": // its own cart, filled before
	default:
		return fmt.Errorf("add to cart: %d %q", added.status, added.reason())
	}
	if b.leaves {
		b.over = true
		return nil
	}
	placed, err := through(placing(b.account))
	if err != nil {
		return err
	}
	if placed.reason() == "reservation_expired" { // it was too slow, and takes another
		return placed.check(false)
	}
	number, ok := strings.CutPrefix(placed.header.Get("Location"), "/pay?order=")
	if placed.status != 302 || !ok {
		return fmt.Errorf("place the order: %d %q", placed.status, placed.reason())
	}
	b.over = true
	paid, err := through(request("POST", "/pay/callback", "order="+number, "X-Forwarded-For: 192.0.2.9"))
	if err != nil || paid.status != 200 || string(paid.body) != "ok" {
		return fmt.Errorf("callback of the payment: %v, %v", paid, err)
	}
	thanks, err := through(request("GET", "/thanks?order="+number, "", "X-Account: "+b.account))
	if err != nil || thanks.status != 200 || !strings.Contains(string(thanks.body), number) {
		return fmt.Errorf("thank-you page of order %s: %v, %v", number, thanks, err)
	}
	return nil
}

func TestCartsSellOut(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		s := startShop(t, "-flow=cart", "-stock=1000", "-workers=20", "-service=4ms")
		sellCarts(t, s, startCart(t, s, onEmbedded, "1s", "refuse"))
	})
	t.Run("redis with two gateways", func(t *testing.T) {
		store := onRedis(stocktest.StartRedis(t))
		s := startShop(t, "-flow=cart", "-stock=1000", "-workers=20", "-service=4ms")
		sellCarts(t, s, startCart(t, s, store, "1s", "refuse"), startCart(t, s, store, "1s", "refuse"))
	})
}

// sellCarts sells everything to a crowd of which a third abandons its carts.
func sellCarts(t *testing.T, s *shop, gateways ...*gateway) {
	t.Helper()
	crowd := make([]shopper, 3*cartUnits)
	for i := range crowd {
		crowd[i] = shopper{account: fmt.Sprintf("shopper-%d", i), leaves: i%3 == 0}
	}
	rand.Shuffle(len(crowd), func(i, j int) { crowd[i], crowd[j] = crowd[j], crowd[i] })
	eventually(t, "every unit to be sold, abandoned ones too", func() bool {
		var wg sync.WaitGroup
		for i := range crowd {
			if b := &crowd[i]; !b.over {
				wg.Go(func() { b.err = b.shopOnce(gateways) })
			}
		}
		wg.Wait()
		for i := range crowd {
			if crowd[i].err != nil {
				t.Fatalf("%s: %v", crowd[i].account, crowd[i].err)
			}
		}
		states, all := gateways[0].stock(t, "phone")
		if all != cartUnits {
			t.Fatalf("stock is %v, want a sum of %d", states, cartUnits)
		}
		return s.books(t).Count >= cartUnits
	})
	left := 0
	for i := range crowd {
		if crowd[i].leaves && crowd[i].over {
			left++
		}
	}
	if t.Logf("%d carts were abandoned", left); left == 0 {
		t.Error("nobody has abandoned a cart")
	}
	cartsBalance(t, s, gateways)
}

// cartsBalance asserts that as many orders are in the shop as there were units, one to
// an account, each paid and known by its number, and that no unit is left anywhere.
func cartsBalance(t *testing.T, s *shop, gateways []*gateway) {
	t.Helper()
	for _, g := range gateways {
		eventually(t, "all units to be settled", func() bool {
			states, _ := g.stock(t, "phone")
			return states["reserved"]+states["sending"] == 0
		})
		settled(t, g, "phone", cartUnits) // so none is held or free
	}
	b := s.books(t)
	if b.Count != cartUnits || b.Units != cartUnits || b.Duplicates != 0 {
		t.Errorf("the shop has %d orders of %d units, %d tokens repeated, want %[4]d, %[4]d and 0", b.Count, b.Units, b.Duplicates, cartUnits)
	}
	by := map[string]bool{}
	for _, o := range b.Orders {
		if by[o.Account] || o.Token == "" || !o.Paid {
			t.Errorf("order %+v: want one of an account, with a token, and paid", o)
		}
		by[o.Account] = true
	}
	last := b.Orders[len(b.Orders)-1]
	code, out := operate(t, gateways[0], "stock", "reservations", "phone", "-ref", last.Order)
	if code != 0 || !strings.Contains(out, last.Token) || !strings.Contains(out, last.Account) {
		t.Errorf("order %+v is not found by its number: %d\n%s", last, code, out)
	}
}

func TestExpiredCartCannotBeOrdered(t *testing.T) {
	onBothStores(t, func(t *testing.T, store string) {
		for _, without := range []string{"refuse", "forward"} {
			if without == "refuse" && store != onEmbedded {
				continue // the gates are the same; what differs is below them
			}
			s := startShop(t, "-flow=cart", "-service=0")
			g := startCart(t, s, store, "1s", without)
			ask(t, g.proxy, adding("slow"))
			eventually(t, "the cart to expire", func() bool {
				states, _ := g.stock(t, "phone")
				return states["free"] == cartUnits
			})
			refused(t, "an order of an expired cart", ask(t, g.proxy, placing("slow")), "reservation_expired")
			refused(t, "and again", ask(t, g.proxy, placing("slow")), "reservation_expired")
			if b := s.books(t); b.Checkouts != 0 {
				t.Errorf("without: %s: %d checkouts reached the shop, want none", without, b.Checkouts)
			}
			g.kill()
		}
	})
}

func TestOrderOfStranger(t *testing.T) {
	onBothStores(t, func(t *testing.T, store string) {
		s := startShop(t, "-flow=cart", "-service=0")
		ask(t, s.addr, adding("stranger")) // the shop knows it, the gateway does not
		refused(t, "a stranger's order", ask(t, startCart(t, s, store, "1m", "refuse").proxy, placing("stranger")), "reservation_expired")
		if b := s.books(t); b.Checkouts != 0 {
			t.Errorf("%d checkouts reached the shop, want none", b.Checkouts)
		}
	})
	onBothStores(t, func(t *testing.T, store string) {
		s := startShop(t, "-flow=cart", "-service=0")
		g := startCart(t, s, store, "1m", "forward")
		ask(t, s.addr, adding("stranger"))
		if r := ask(t, g.proxy, placing("stranger")); r.status != 302 || r.reason() != "admitted" {
			t.Errorf("a stranger's order: got %d %q, want the shop's 302", r.status, r.reason())
		}
		b := s.books(t)
		if b.Count != 1 || b.Orders[0].Token != "" {
			t.Errorf("the shop's orders are %+v, want one, without a token", b.Orders)
		}
		if states, _ := g.stock(t, "phone"); states["free"] != cartUnits {
			t.Errorf("stock is %v, want all of it free: the order had no unit", states)
		}
	})
}

func TestDoubleClickOnPlaceOrder(t *testing.T) {
	onBothStores(t, func(t *testing.T, store string) {
		s := startShop(t, "-flow=cart", "-service=0", "-barrier=2", "-workers=20")
		g := startCart(t, s, store, "1m", "refuse")
		if r := ask(t, g.proxy, adding("hasty")); r.reason() != "admitted" || r.header.Get("Location") != "/checkout" {
			t.Fatalf("add to cart: got %d %q", r.status, r.reason())
		}
		token := s.last(t).Get("Penstock-Reservation")
		var wg sync.WaitGroup
		var won, pending atomic.Int32
		for range 6 {
			wg.Go(func() {
				c := &client{addr: g.proxy}
				defer c.close()
				r, err := c.do(placing("hasty"))
				switch {
				case err != nil:
					t.Errorf("place the order: %v", err)
				case r.status == 302:
					won.Add(1)
				default:
					refused(t, "another click", r, "order_pending", "already_bought")
					pending.Add(1)
				}
			})
		}
		eventually(t, "all clicks but one to be refused", func() bool { return pending.Load() == 5 })
		s.told(t, "barrier=0")
		wg.Wait()
		b := s.books(t)
		if won.Load() != 1 || b.Count != 1 || b.Checkouts != 1 || b.Orders[0].Token != token || token == "" {
			t.Errorf("%d clicks won, the shop has %+v, want one order with the cart's token %q", won.Load(), b, token)
		}
		refused(t, "a click after the order", ask(t, g.proxy, placing("hasty")), "already_bought")
	})
}
