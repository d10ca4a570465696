// Penstock is a reverse-proxy admission gateway: it stands in front of a shop when a
// flash sale opens, lets through what the shop can serve, and refuses the rest at once.
//
// This file knows flags, signals and exit codes, and nothing else; build.go wires the
// packages, run.go is the life of the process.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"penstock/rules/config"
)

const usage = `Penstock stands in front of a shop and admits what it can serve.

  penstock run   -config FILE   serve; HUP reads the file again, TERM drains and leaves,
                                USR2 hands over to a new process without losing a request
  penstock check -config FILE   say every fault of the file, and what may surprise
  penstock preflight -config FILE   look at all that can be wrong before a sale: go or no go
  penstock upgrade -config FILE -why TEXT   the same as USR2, and says how it went
  penstock rehearse -config FILE [flags]   play a sale with a crowd: go or no go
  penstock mine [flags] LOGS…   look for cheats in decision logs
  penstock version

`

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }

// command runs one command and answers its exit code: 0, 1 for trouble, 2 for wrong use.
func command(args []string, out, errs io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(errs, usage+operatorsUsage())
		return 2
	}
	name, args := args[0], args[1:]
	if name == "version" {
		fmt.Fprintln(out, "penstock", version())
		return 0
	}
	if name == "preflight" {
		return preflight(args, out, errs)
	}
	if name == "rehearse" {
		return rehearsal(args, out, errs)
	}
	if name == "mine" {
		return mines(args, os.Stdin, out, errs)
	}
	if name == "upgrade" {
		return upgrade(args, out, errs)
	}
	if name == "stock" || name == "sale" || name == "ban" {
		return operators(name, args, out, errs)
	}
	if name != "run" && name != "check" {
		fmt.Fprint(errs, usage+operatorsUsage())
		if name == "help" || name == "-h" || name == "-help" || name == "--help" {
			return 0
		}
		fmt.Fprintf(errs, "\npenstock: there is no command %q in this version\n", name)
		return 2
	}
	flags := flag.NewFlagSet("penstock "+name, flag.ContinueOnError)
	flags.SetOutput(errs)
	file := flags.String("config", "", "the YAML `file` to read")
	if flags.Parse(args) != nil || flags.NArg() > 0 || *file == "" {
		fmt.Fprintf(errs, "usage: penstock %s -config FILE\n", name)
		return 2
	}
	if name == "check" {
		return check(*file, out, errs)
	}
	if err := run(*file, errs); err != nil {
		fmt.Fprintln(errs, "penstock:", err)
		return 1
	}
	return 0
}

func check(file string, out, errs io.Writer) int {
	set, err := config.Load(file)
	if err != nil {
		fmt.Fprintln(errs, err)
		var faults config.Faults
		if errors.As(err, &faults) {
			fmt.Fprintf(errs, "%s: faults: %d\n", file, len(faults))
		}
		return 1
	}
	for _, w := range append(config.Warnings(set), config.CertificateWarnings(set.TLS, time.Now())...) {
		fmt.Fprintf(errs, "%s: warning: %s\n", file, w)
	}
	fmt.Fprintf(out, "%s: no faults: %d sales, %d routes\n", file, len(set.Sales), len(set.Routes))
	return 0
}

// version is the module's version and revision, as the toolchain stamped them.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " " + s.Value
		}
	}
	return v
}
