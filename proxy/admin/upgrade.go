package admin

// The call that lets a new process take over. It stands beside the sales because it is of
// the gateway; it is signed as every change is.

import (
	"context"
	"net/http"
	"time"
)

// Upgrade hands the gateway over to a new process, and answers when that serves.
type Upgrade func(context.Context, Command) (Done, error)

func (a *api) upgrade(w http.ResponseWriter, r *http.Request) {
	in := http.NewResponseController(w)
	_ = in.SetReadDeadline(time.Now().Add(apiPatience))
	_ = in.SetWriteDeadline(time.Now().Add(auditPatience))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), auditPatience)
	defer cancel()
	var c Command
	err := read(w, r, maxBody, &c)
	if err == nil {
		err = signed(&c.By, &c.Why)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	done, err := a.upgrades(ctx, c)
	a.changed(Change{By: c.By, Why: c.Why, Action: "upgrade", What: done.What, Err: err})
	answer(w, done, err)
}
