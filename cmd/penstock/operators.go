package main

// The operators' commands: `penstock stock …`, `penstock sale …` and `penstock ban …`. They ask the running
// gateway's admin API, so they work wherever that can be reached, and never open a store.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"penstock/proxy/admin"
)

// verb is one of the commands.
type verb struct {
	group, name string
	flags       []string // its own
	needs       []string // of these, and of the sale's name, those it cannot do without
	does        string
}

var verbs = []verb{
	{"stock", "show", nil, nil, "units by item and state, and what differs from the file"},
	{"stock", "reservations", []string{"stage", "token", "account", "ref"}, []string{"sale"}, "open tokens; by stage, token, account or reference"},
	{"stock", "audit", []string{"orders", "window", "free-missing", "apply"}, []string{"sale"}, "does it add up, and agree with the shop's list of orders?"},
	{"stock", "add", []string{"item", "units", "token"}, []string{"sale", "units"}, "add units of an item"},
	{"stock", "withdraw", []string{"item", "units", "token"}, []string{"sale", "units"}, "take free units out of the sale"},
	{"stock", "commit", []string{"token", "ref"}, []string{"sale", "token"}, "say that a token's order exists: it is sold"},
	{"stock", "release", []string{"token"}, []string{"sale", "token"}, "say that a token has no order: its units are free"},
	{"stock", "load", nil, []string{"sale"}, "load stock that the store has lost; give known stock the file's terms"},
	{"stock", "thaw", nil, []string{"sale"}, "end a freeze"},
	{"sale", "pause", nil, []string{"sale"}, "stop taking units; what is taken goes on"},
	{"sale", "resume", nil, []string{"sale"}, "take units again"},
	{"sale", "close", nil, []string{"sale"}, "end the sale"},
	{"sale", "open", nil, []string{"sale"}, "open it again"},
	{"sale", "archive", nil, []string{"sale"}, "forget the sale's stock, so that its name is free"},
	{"ban", "add", []string{"for"}, []string{"subject", "for"}, "keep an account, an address or a network out of every sale"},
	{"ban", "remove", nil, []string{"subject"}, "lift a ban"},
	{"ban", "list", nil, nil, "who is banned, until when, by whom and why"},
	{"ban", "why", []string{"sale", "account", "ip"}, []string{"sale"}, "where an account or an address stands with a sale, and what put it there"},
}

// operatorsUsage lists them, one to a line.
func operatorsUsage() string {
	var b strings.Builder
	for _, v := range verbs {
		fmt.Fprintf(&b, "  penstock %-5s %-12s  %s\n", v.group, v.name, v.does)
	}
	return b.String() + `
  stock and sale take the sale's name, and -config FILE (or -admin HOST:PORT and
  -token-file FILE); ban takes whom, "c:alice", 192.0.2.7 or 2001:db8::/48, with an end:
  -for 24h, or -for ever; changes take -why TEXT and -by NAME; -json answers machines.
`
}

// changes reports whether the command may change something.
func (v *verb) changes() bool {
	return !slices.Contains([]string{"show", "reservations", "list", "why"}, v.name)
}

// signed reports whether these options change something for certain.
func (v *verb) signed(o *options) bool { return v.changes() && (v.name != "audit" || o.command.Apply) }

// options are what a command line says.
type options struct {
	config, admin, tokenFile string
	json                     bool
	sale, stage, account     string // sale is whom a ban is of, where the command is about that
	ip, banFor               string
	orders                   string
	window, freeMissing      time.Duration
	command                  admin.Command
}

// errUsage: the command line is wrong, and that has been said.
var errUsage = errors.New("wrong use")

// operators runs one command of the group.
func operators(group string, args []string, out, errs io.Writer) int {
	i := -1
	if len(args) > 0 {
		i = slices.IndexFunc(verbs, func(v verb) bool { return v.group == group && v.name == args[0] })
	}
	if i < 0 {
		fmt.Fprintf(errs, "penstock: %s is followed by one of its commands:\n%s", group, operatorsUsage())
		return 2
	}
	v := &verbs[i]
	o, err := v.parse(args[1:], errs)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	ok, err := v.run(context.Background(), o, out)
	if err != nil {
		fmt.Fprintln(errs, "penstock:", err)
		return 1
	}
	if !ok {
		return 1
	}
	return 0
}

// parse reads a command line; the sale's name stands anywhere among the flags.
func (v *verb) parse(args []string, errs io.Writer) (*options, error) {
	o := &options{}
	flags := v.flagSet(o, errs)
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if args = flags.Args(); len(args) == 0 {
			break
		}
		if o.sale != "" {
			return nil, v.wrong(errs, "%q is one word too many", args[0])
		}
		o.sale, args = args[0], args[1:]
	}
	if (o.config == "") == (o.admin == "") {
		return nil, v.wrong(errs, "want -config FILE or -admin HOST:PORT, to know where the gateway's admin API is")
	}
	given := map[string]bool{"subject": o.sale != ""}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = f.Value.String() != "" })
	given["sale"] = o.sale != ""
	for _, need := range v.needs {
		if !given[need] {
			return nil, v.wrong(errs, "%s is missing", map[string]string{"sale": "the sale's name", "subject": "whom to ban or not", "units": "-units", "token": "-token", "for": "-for"}[need])
		}
	}
	if v.group == "ban" && v.name == "list" && o.sale != "" {
		return nil, v.wrong(errs, "%q is one word too many", o.sale)
	}
	if v.name == "why" && o.account == "" && o.ip == "" {
		return nil, v.wrong(errs, "want -account NAME or -ip ADDRESS")
	}
	if given["apply"] && o.orders == "" || given["free-missing"] && o.orders == "" {
		return nil, v.wrong(errs, "settling needs -orders FILE")
	}
	if v.signed(o) && (strings.TrimSpace(o.command.Why) == "" || strings.TrimSpace(o.command.By) == "") {
		return nil, v.wrong(errs, "a change needs -why TEXT, and -by NAME where $USER does not tell")
	}
	return o, nil
}

// title is the command as it is typed; one without a group is of the gateway itself.
func (v *verb) title() string { return strings.ReplaceAll("penstock "+v.group+" "+v.name, "  ", " ") }

func (v *verb) wrong(errs io.Writer, format string, args ...any) error {
	fmt.Fprintf(errs, "%s: %s\n", v.title(), fmt.Sprintf(format, args...))
	return errUsage
}

// flagSet defines the flags that this command has, and no others.
func (v *verb) flagSet(o *options, errs io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet(v.title(), flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.config, "config", "", "the gateway's YAML `file`: says where its admin API is")
	f.StringVar(&o.admin, "admin", "", "`host:port` of the admin API, instead of -config")
	f.StringVar(&o.tokenFile, "token-file", "", "`file` with the admin token, with -admin")
	f.BoolVar(&o.json, "json", false, "answer in JSON")
	if v.changes() {
		user := os.Getenv("SUDO_USER")
		if user == "" {
			user = os.Getenv("USER")
		}
		f.StringVar(&o.command.By, "by", user, "`who` makes the change")
		f.StringVar(&o.command.Why, "why", "", "`why`: goes to the log")
	}
	define := map[string]func(){
		"item":    func() { f.StringVar(&o.command.Item, "item", "", "`name` of the item, where the sale has several") },
		"units":   func() { f.IntVar(&o.command.Units, "units", 0, "how many `units`") },
		"token":   func() { f.StringVar(&o.command.Token, "token", "", v.tokenText()) },
		"ref":     func() { f.StringVar(&o.command.Ref, "ref", "", "the shop's `reference` of the order") },
		"account": func() { f.StringVar(&o.account, "account", "", "`account`, with its prefix or without") },
		"sale":    func() { f.StringVar(&o.sale, "sale", "", "`name` of the sale") },
		"ip":      func() { f.StringVar(&o.ip, "ip", "", "`address` of a client") },
		"for": func() {
			f.StringVar(&o.banFor, "for", "", "how `long`: 24h, or "+forEver)
		},
		"stage": func() { f.StringVar(&o.stage, "stage", "", "reserved, sending, held, sold or all") },
		"orders": func() {
			f.StringVar(&o.orders, "orders", "", "the shop's list of orders, a CSV `file`; - reads it from the input")
		},
		"window": func() {
			f.DurationVar(&o.window, "window", 0, "how far the shop's time of an order may be from ours (10m)")
		},
		"free-missing": func() {
			f.DurationVar(&o.freeMissing, "free-missing", 0, "free held tokens, this `old`, that are not in the list")
		},
		"apply": func() {
			f.BoolVar(&o.command.Apply, "apply", false, "settle held tokens, instead of only saying which")
		},
	}
	for _, name := range v.flags {
		define[name]()
	}
	return f
}

func (v *verb) tokenText() string {
	if v.name == "add" || v.name == "withdraw" {
		return "`token` of this change: repeated with the same one, it is made once"
	}
	return "the `token`, 32 hexadecimal digits"
}
