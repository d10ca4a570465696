package main

// `penstock mine`: flags, progress and exit codes. What it does is in the package of that name.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/schollz/progressbar/v3"

	"penstock/cmd/penstock/mine"
	"penstock/cmd/penstock/mine/judge"
)

const mineUsage = `usage: penstock mine [flags] LOGS…

Looks for cheats in decision logs of one sale or many: what each account did, which
accounts are rings, and a score from 0 to 100 with reasons. Logs may be packed with gzip;
"-" is standard input. 0 is done, 1 is trouble, 2 is wrong use.

`

// mining is what the flags say.
type mining struct {
	mine.Options
	format, out, labels string
	least, top          int
	quiet               bool
}

// mines runs the command.
func mines(args []string, in io.Reader, out, errs io.Writer) int {
	o, err := mineFlags(args, errs)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(errs, "penstock mine:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(o.Memory))
	o.In, o.Workers = in, runtime.GOMAXPROCS(0)
	if !o.quiet && terminal(errs) {
		o.Progress = bars(errs)
	}
	if err := o.run(ctx, out, errs); err != nil {
		fmt.Fprintln(errs, "penstock mine:", err)
		return 1
	}
	return 0
}

func mineFlags(args []string, errs io.Writer) (o mining, err error) {
	f := flag.NewFlagSet("penstock mine", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	memory := "2GiB"
	f.StringVar(&o.format, "format", "table", "table, json, or list: one that bans.lists and require can name")
	f.IntVar(&o.least, "min", -1, fmt.Sprintf("only accounts with this score or more; of a list %d, if not given", mine.Threshold))
	f.IntVar(&o.top, "top", -1, "only so many, the highest; 0: all; of a table 50, if not given")
	f.StringVar(&o.Sale, "sale", "", "only the sale of this `name`")
	f.StringVar(&o.out, "o", "", "write to this `file`, which is replaced when all is done")
	f.StringVar(&memory, "memory", memory, "`bytes` to stay within, e.g. 512MiB; the rest goes to temporary files")
	f.StringVar(&o.Tmp, "tmp", "", "`directory` of temporary files: about half as large as the logs unpacked")
	f.StringVar(&o.labels, "labels", "", "`file` of lines account,kind: say how well each kind is told from \"person\" instead")
	f.BoolVar(&o.quiet, "quiet", false, "no progress")
	switch err = f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(errs, mineUsage)
		f.SetOutput(errs)
		f.PrintDefaults()
		return o, err
	case err != nil:
		return o, err
	case f.NArg() == 0:
		return o, errors.New("no logs are named")
	}
	o.Logs = f.Args()
	if o.Memory, err = bytesOf(memory); err != nil {
		return o, fmt.Errorf("-memory: %w", err)
	}
	least, top := 0, 0
	switch o.format {
	case "table":
		top = 50
	case "list":
		least = mine.Threshold
	case "json":
	default:
		return o, fmt.Errorf("-format %q: want table, json or list", o.format)
	}
	if o.labels != "" {
		least = mine.Threshold
	}
	if o.least < 0 {
		o.least = least
	}
	if o.top < 0 {
		o.top = top
	}
	return o, nil
}

// bytesOf reads 2GiB, 512MiB or a plain number.
func bytesOf(text string) (int64, error) {
	number, shift := text, 0
	for unit, s := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30} {
		if rest, ok := strings.CutSuffix(text, unit); ok {
			number, shift = rest, s
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n <= 0 || n > 1<<62>>shift {
		return 0, fmt.Errorf("%q is not a size like 2GiB", text)
	}
	if n <<= shift; n < mine.LeastMemory {
		return 0, fmt.Errorf("%q is too little: at least %d MiB", text, mine.LeastMemory>>20)
	}
	return n, nil
}

// bars draws a bar for each stage.
func bars(w io.Writer) func(stage string, done, of int64) {
	var bar *progressbar.ProgressBar
	var now string
	return func(stage string, done, of int64) {
		if stage != now {
			now = stage
			options := []progressbar.Option{
				progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(fmt.Sprintf("%-9s", stage)),
				progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(1e8), progressbar.OptionClearOnFinish(),
				progressbar.OptionShowBytes(stage == "lines"),
			}
			bar = progressbar.NewOptions64(of, options...)
		}
		bar.Set64(done)
	}
}

func (o *mining) run(ctx context.Context, out, errs io.Writer) error {
	r, err := mine.Run(ctx, o.Options)
	if err != nil {
		return err
	}
	defer r.Close()
	if r.Unreadable > 0 {
		fmt.Fprintf(errs, "penstock mine: %d of %d lines cannot be read, such as %s\n", r.Unreadable, r.Lines, strings.Join(r.Examples, ", "))
	}
	for _, name := range r.Cut {
		fmt.Fprintf(errs, "penstock mine: %s ends in the middle; what could be unpacked is used\n", name)
	}
	if o.out == "" {
		return o.write(ctx, r, out, errs)
	}
	f, err := os.CreateTemp(filepath.Dir(o.out), ".penstock-mine-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := o.write(ctx, r, f, errs); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o640), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), o.out)
}

func (o *mining) write(ctx context.Context, r *mine.Result, w, errs io.Writer) error {
	if o.labels != "" {
		return o.judge(ctx, r, w)
	}
	switch o.format {
	case "json":
		return r.JSON(ctx, w, o.least, o.top)
	case "list":
		left, err := r.List(ctx, w, o.least, o.top)
		if left > 0 {
			fmt.Fprintf(errs, "penstock mine: %d accounts are left out, because a list cannot name them\n", left)
		}
		return err
	}
	return r.Table(ctx, w, o.least, o.top)
}

// judge says how well the scores tell kinds apart. Accounts without a label say nothing.
func (o *mining) judge(ctx context.Context, r *mine.Result, w io.Writer) error {
	f, err := os.Open(o.labels)
	if err != nil {
		return err
	}
	defer f.Close()
	kinds, err := judge.Labels(f)
	if err != nil {
		return fmt.Errorf("%s: %w", o.labels, err)
	}
	var t judge.Tally
	err = r.Ranked(ctx, 0, 0, func(a *mine.Ranked) error {
		if kind, ok := kinds[a.Name]; ok {
			t.Add(kind, float64(a.Score))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return judge.Write(w, t.Table(float64(o.least)), float64(o.least))
}
