// Command sampleshop is a small legacy shop to stand behind the gateway: something
// real to protect, and something that fails in the ways real shops fail.
//
// It has a fixed number of workers and a queue before them, and it gets slower the
// more it is asked (see service). Its checkout reads the stock, thinks, and writes
// it back, so it oversells as soon as two buyers are inside at once; that is what
// it is for, not a fault. It can be told to decline cards, fail, stall and hang up,
// and to sell from carts, in steps, with a payment that is heard of from elsewhere.
//
// It says what became of an order whose answer was lost (see resolve).
//
// It keeps its orders in memory and for good, trusts every header it is sent, and
// does not model connections: an idle one costs no worker. Never sell with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const about = `sampleshop is a small legacy shop to try the gateway on.

It serves a product page at / and a checkout at POST /buy.php, lists its orders
at /orders and /orders.csv, slows down under load and oversells, on purpose.

With -flow cart there is no /buy.php. POST /cart/add (qty, variant) fills the
visitor's cart, GET /checkout shows it, and POST /checkout/place orders what it
holds and leads to /pay?order=ID. The payment provider reports to POST
/pay/callback (order), and /thanks?order=ID says whether the order is paid.

GET /-/order-status?token=TOKEN says what became of the order that came with this
Penstock-Reservation: sold, unknown while it is under way, or free, after which
no order is ever taken with it.

`

const (
	readTimeout   = time.Minute      // for a head; what Apache grants
	idleTimeout   = 5 * time.Second  // between two requests of a connection; what Apache grants
	finishTimeout = 10 * time.Second // for running requests, once told to stop
)

// config is what the flags say.
type config struct {
	listen   string
	workers  int
	backlog  int
	overflow string // "hang" or "close"
	stock    int
	control  bool
	status   bool
	conduct  conduct
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run serves until ctx ends and returns the exit code: 0, 1 for trouble, 2 for
// flags that make no sense. The first line on stdout is the address it listens on.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "sampleshop:", err)
		return 2
	}
	ln, err := net.Listen("tcp", cfg.listen)
	if err != nil {
		fmt.Fprintln(stderr, "sampleshop:", err)
		return 1
	}
	fmt.Fprintf(stdout, "listening on http://%s\n", ln.Addr())
	s := newShop(cfg, ctx.Done())
	if err := serve(ctx, ln, s.handler()); err != nil {
		fmt.Fprintln(stderr, "sampleshop:", err)
		return 1
	}
	l := s.list()
	fmt.Fprintf(stdout, "took %d orders for %d units of %d\n", l.Count, l.Units, l.Stock)
	return 0
}

// parse reads the flags; if help is asked for it prints it and returns flag.ErrHelp.
func parse(args []string, stderr io.Writer) (config, error) {
	cfg := config{conduct: conduct{flow: "json", service: 100 * time.Millisecond, hangupAt: "body"}}
	fs := flag.NewFlagSet("sampleshop", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // a fault is printed once, by run
	fs.StringVar(&cfg.listen, "listen", "127.0.0.1:8081", "`address` to listen on; port 0 takes a free one")
	fs.IntVar(&cfg.workers, "workers", 20, "requests served at once")
	fs.IntVar(&cfg.backlog, "backlog", 511, "requests that may wait for a worker")
	fs.StringVar(&cfg.overflow, "overflow", "hang", "what a request beyond the backlog meets, hang or close: a `word`")
	fs.IntVar(&cfg.stock, "stock", 100, "`units` for sale")
	fs.BoolVar(&cfg.control, "control", false, "let POST /-/control change -barrier, -flow, -hangup-at, -service, -think and -...-every while running, e.g. ?stall-every=1")
	fs.BoolVar(&cfg.status, "status", true, "answer GET /-/order-status?token=..., and keep to what was answered")
	cfg.conduct.flags(fs)
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stderr, about)
		fs.SetOutput(stderr)
		fs.PrintDefaults()
		return cfg, err
	case err != nil:
		return cfg, err
	case fs.NArg() > 0:
		return cfg, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	return cfg, cfg.check()
}

// check names every fault at once.
func (cfg *config) check() error {
	var errs []error
	if cfg.workers < 1 || cfg.backlog < 0 || cfg.stock < 0 {
		errs = append(errs, errors.New("-workers must be at least 1, -backlog and -stock at least 0"))
	}
	if cfg.overflow != "hang" && cfg.overflow != "close" {
		errs = append(errs, fmt.Errorf("-overflow is %q, want hang or close", cfg.overflow))
	}
	return errors.Join(append(errs, cfg.conduct.check(cfg.workers))...)
}

// serve serves until ctx ends, then lets the running requests finish.
func serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: readTimeout, IdleTimeout: idleTimeout}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		srv.Close() // Shutdown's error says it all
		return fmt.Errorf("finish requests: %w", err)
	}
	return nil
}
