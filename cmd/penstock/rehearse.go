package main

// `penstock rehearse`: flags and exit codes. What it does is in the package of that name.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"penstock/cmd/penstock/rehearse"
	"penstock/cmd/penstock/rehearse/report"
)

const rehearseUsage = `usage: penstock rehearse -config FILE [flags]

Plays a sale of the file with a crowd, against a gateway and a shop that it starts
itself, and says go (exit code 0) or no go (1). 2 is wrong use, or trouble on the way.

`

// several is a flag that may be given more than once.
type several []string

func (s *several) String() string     { return strings.Join(*s, " ") }
func (s *several) Set(v string) error { *s = append(*s, v); return nil }

// outputs are what a rehearsal leaves.
type outputs struct {
	html, json string // files
	cheats     bool   // no report, but a table of who got what
}

// rehearsal runs the command.
func rehearsal(args []string, out, errs io.Writer) int {
	o, files, err := rehearseFlags(args, errs)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(errs, "penstock rehearse:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	live := terminal(errs)
	o.Progress = func(line string) {
		if live {
			fmt.Fprintf(errs, "\r\x1b[K%s", line)
			return
		}
		fmt.Fprintln(errs, line)
	}
	if files.cheats {
		return trial(ctx, o, out, errs)
	}
	r, err := rehearse.Run(ctx, o)
	if live {
		fmt.Fprintln(errs)
	}
	if err != nil {
		fmt.Fprintln(errs, "penstock rehearse:", err)
		return 2
	}
	fmt.Fprint(out, report.Text(r, terminal(out)))
	if err := files.write(r); err != nil {
		fmt.Fprintln(errs, "penstock rehearse:", err)
		return 2
	}
	if r.Verdict != report.Go {
		return 1
	}
	return 0
}

func rehearseFlags(args []string, errs io.Writer) (o rehearse.Options, files outputs, err error) {
	f := flag.NewFlagSet("penstock rehearse", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	var to several
	var slow, dead, shop string
	f.StringVar(&o.File, "config", "", "the YAML `file` with the sale")
	f.StringVar(&o.Sale, "sale", "", "its `name`; the first with stock, if not given")
	f.Float64Var(&o.Rate, "crowd", 0, "visitors per second; if not given, -times what the origin can do")
	f.Float64Var(&o.Times, "times", 20, "the crowd, as a multiple of the pages per second that the origin can do")
	f.Float64Var(&o.Capacity, "capacity", 0, "pages per second the origin can do; tried out, if not given")
	f.StringVar(&o.Shape, "shape", "step", "how the crowd comes: step, ramp or spikes")
	f.DurationVar(&o.For, "for", 30*time.Second, "for how long")
	f.Uint64Var(&o.Seed, "seed", 0, "plays the same crowd again; drawn, if not given")
	f.StringVar(&o.Page, "page", "/", "where people look before they buy")
	f.StringVar(&o.Origin, "origin", "", "what stands behind: shop, model:O1 to model:O12, or real, what the file says [shop]")
	f.StringVar(&o.SampleShop, "sampleshop", "", "the sample shop's `path`; beside this program, if not given")
	f.StringVar(&shop, "shop", "", "more `flags` of the sample shop, e.g. \"-workers 8 -service 50ms\"")
	f.StringVar(&o.Gateway, "gateway", "start", "start one, or the `URL` of one that runs: then units are really taken")
	f.StringVar(&o.Admin, "admin", "", "HOST:PORT of the running gateway's metrics; the file's admin.listen, if not given")
	f.BoolVar(&o.Redis, "redis", false, "keep stock in the file's Redis, under names of its own, instead of an embedded store")
	f.StringVar(&slow, "redis-slow", "", "`AT,DELAY[,FOR]`: from then on Redis answers that late")
	f.StringVar(&dead, "redis-dead", "", "`AT[,FOR]`: from then on Redis is gone")
	f.BoolVar(&files.cheats, "cheats", false, "send a crowd in which it is known who cheats, with and without what the file has against them, and say who got the units")
	f.IntVar(&o.People, "people", 1500, "how many people come with -cheats; the cheats come besides")
	f.Var(&to, "to", "a host that may be aimed at though it is not this machine; name it twice")
	f.StringVar(&files.html, "html", "", "write a page with charts to this `file`")
	f.StringVar(&files.json, "json", "", "write the result for machines to this `file`")
	f.DurationVar(&o.RefuseWithin, "refuse-within", 5*time.Millisecond, "want 99 % of refusals that come at once within this time; 0: not asked")
	f.Float64Var(&o.Goodput, "goodput", .9, "want this share of what the origin can do at its best; 0: not asked")
	f.DurationVar(&o.MaxLag, "max-lag", 20*time.Millisecond, "how late we may send ourselves before a run proves nothing")
	switch err = f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(errs, rehearseUsage)
		f.SetOutput(errs)
		f.PrintDefaults()
		return o, files, err
	case err != nil:
		return o, files, err
	case f.NArg() > 0:
		return o, files, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.File == "":
		return o, files, errors.New("-config FILE is missing")
	case files.cheats && (files.html != "" || files.json != ""):
		return o, files, errors.New("-cheats writes neither -html nor -json")
	}
	o.To, o.ShopArgs = to, strings.Fields(shop)
	if o.Origin == "" {
		o.Origin = "shop"
		if o.Gateway != "start" {
			o.Origin = "real"
		}
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64N(1e9) + 1
	}
	o.Command = "penstock rehearse " + again(args, o.Seed)
	if o.Self, err = os.Executable(); err != nil {
		return o, files, fmt.Errorf("find ourselves: %w", err)
	}
	if o.Slow, err = fault(slow, true); err != nil {
		return o, files, fmt.Errorf("-redis-slow: %w", err)
	}
	if o.Dead, err = fault(dead, false); err != nil {
		return o, files, fmt.Errorf("-redis-dead: %w", err)
	}
	return o, files, nil
}

// again is the command line that plays the same crowd.
func again(args []string, seed uint64) string {
	var b strings.Builder
	drawn := true
	for _, a := range args {
		if strings.HasPrefix(strings.TrimLeft(a, "-"), "seed") {
			drawn = false
		}
		if strings.ContainsAny(a, " \t'\"$\\&;|<>()*?`!#~") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		b.WriteString(a + " ")
	}
	if drawn {
		b.WriteString("-seed " + strconv.FormatUint(seed, 10))
	}
	return strings.TrimSpace(b.String())
}

// fault reads AT,DELAY[,FOR] or AT[,FOR].
func fault(text string, delayed bool) (*rehearse.Fault, error) {
	if text == "" {
		return nil, nil
	}
	var f rehearse.Fault
	fields := []*time.Duration{&f.At, &f.For}
	if delayed {
		fields = []*time.Duration{&f.At, &f.Delay, &f.For}
	}
	parts := strings.Split(text, ",")
	if len(parts) > len(fields) || len(parts) < len(fields)-1 {
		return nil, fmt.Errorf("%q has %d times", text, len(parts))
	}
	for i, p := range parts {
		d, err := time.ParseDuration(p)
		if err != nil || d < 0 || d == 0 && i > 0 {
			return nil, fmt.Errorf("%q is not a time like 10s", p)
		}
		*fields[i] = d
	}
	return &f, nil
}

// terminal reports whether somebody looks at it as it is written.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (o *outputs) write(r *report.Result) error {
	for name, write := range map[string]func(io.Writer, *report.Result) error{o.json: report.WriteJSON, o.html: report.WritePage} {
		if name == "" {
			continue
		}
		f, err := os.Create(name)
		if err != nil {
			return fmt.Errorf("write result: %w", err)
		}
		if err = write(f, r); err == nil {
			err = f.Close()
		}
		if err != nil {
			return fmt.Errorf("write result: %w", err)
		}
	}
	return nil
}
