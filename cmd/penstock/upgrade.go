package main

// `penstock upgrade`: an operator has put a new program in the old one's place, or wants
// settings that change only with a new process, and asks the gateway to hand over. The
// answer comes when the new process serves, or will not.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"

	"penstock/proxy/admin"
)

// busyPatience bounds the wait for a reload, or another hand-over, to end.
const busyPatience = 2 * time.Second

// upgradeOrder is an operator's wish. done is heard of once, with room for it.
type upgradeOrder struct {
	by, why string
	done    chan upgraded
}

type upgraded struct {
	pid int
	err error
}

// upgradeAsked hands the wish to whoever attends to signals.
func (l *life) upgradeAsked(ctx context.Context, c admin.Command) (admin.Done, error) {
	order := upgradeOrder{c.By, c.Why, make(chan upgraded, 1)}
	busy := time.NewTimer(busyPatience)
	defer busy.Stop()
	select {
	case l.upgrades <- order:
	case <-busy.C:
		return admin.Done{}, &admin.Problem{Status: http.StatusConflict, Text: "another upgrade or a reload is under way, or the gateway is leaving"}
	}
	select {
	case u := <-order.done:
		if u.err != nil {
			return admin.Done{}, fmt.Errorf("the old process goes on: %w", u.err)
		}
		return admin.Done{What: fmt.Sprintf("process %d serves now", u.pid)}, nil
	case <-ctx.Done():
		return admin.Done{}, errors.New("no end of the upgrade yet: look at the log")
	}
}

// upgrade is the command.
func upgrade(args []string, out, errs io.Writer) int {
	v := &verb{name: "upgrade"}
	o, err := v.parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil && o.sale != "" {
		err = v.wrong(errs, "%q is one word too many", o.sale)
	}
	if err != nil {
		return 2
	}
	c, err := newClient(o)
	var done admin.Done
	if err == nil {
		err = c.ask(context.Background(), http.MethodPost, "/upgrade", o.command, &done)
	}
	if err == nil && o.json {
		err = printJSON(out, done)
	}
	if err != nil {
		fmt.Fprintln(errs, "penstock:", err)
		return 1
	}
	if !o.json {
		fmt.Fprintln(out, done.What)
	}
	return 0
}
