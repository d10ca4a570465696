package rehearse

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"penstock/rules"
	"penstock/rules/config"
)

// The stage: the gateway that is started for a rehearsal, on a copy of the operator's
// file. What is played otherwise than the file says is written down, all of it.

const (
	lead    = 3 * time.Second // the crowd is small before the sale opens
	curtain = 4 * time.Second // from writing the file until it opens: what a start may take, and the lead
)

// copyOf is the file as it is played.
type copyOf struct {
	changes []config.Change
	said    []string // the same for people
	opens   time.Time
}

func (c *copyOf) set(key, value, said string) {
	c.changes = append(c.changes, config.Change{Key: key, Value: value})
	if said != "" {
		c.said = append(c.said, said)
	}
}

// adapt says what must be changed in a file so that a sale of it can be rehearsed. o is
// the origin, nil for the file's; l the link to Redis, nil without Redis; scratch a
// directory for what the gateway writes.
func adapt(set *rules.Set, s *rules.Sale, o *origin, l *link, scratch string, now time.Time) *copyOf {
	c := &copyOf{}
	c.set("listen", `"127.0.0.1:0"`, "The gateway listens on a free port of this machine.")
	c.set("admin", `{listen: "127.0.0.1:0"}`, "")
	c.set("health", "", "")
	c.set("shutdown", "{delay: 0s, timeout: 5s}", "")
	if set.Decisions != nil {
		c.set("decisions", "", "Decisions are not logged: yours are about the real sale.")
	}
	if set.TLS != nil {
		c.set("tls", "", "The crowd speaks plain HTTP: what TLS costs is not in the result.")
	}
	c.set("trusted_proxies", "[127.0.0.0/8]", "Forwarded addresses are believed from this machine, and only from it.")
	c.set("client_ip", "{header: X-Forwarded-For}", "")
	if o != nil {
		c.set("origin/url", strconv.Quote("http://"+o.address), "Behind it stands "+o.about+".")
		c.set("origin/tls", "", "") // it speaks plain
	}
	switch {
	case set.Store.Redis == nil && set.Store.Embedded == "":
	case l == nil:
		c.set("store", "{embedded: {path: "+strconv.Quote(filepath.Join(scratch, "penstock.db"))+"}}", "Stock lies in a fresh embedded store, which is thrown away.")
	default:
		var id [6]byte
		rand.Read(id[:])
		prefix := "penstock-rehearsal-" + hex.EncodeToString(id[:])
		c.set("store/redis/addrs", "["+strconv.Quote(l.addr())+"]", "")
		c.set("store/redis/key_prefix", prefix, "Stock lies in the file's Redis, under "+prefix+" instead of "+set.Store.Redis.KeyPrefix+"; its keys stay there.")
		c.set("store/redis/state_file", strconv.Quote(filepath.Join(scratch, "penstock.state")), "")
	}
	c.reschedule(set, s, now)
	return c
}

// reschedule lets the sale open while the crowd is there.
func (c *copyOf) reschedule(set *rules.Set, s *rules.Sale, now time.Time) {
	if s.Opens.IsZero() && s.Closes.IsZero() {
		return
	}
	for _, other := range set.Sales {
		if other != s && other.Match.Path == s.Match.Path && other.Match.Host == s.Match.Host {
			c.set("sales/"+other.Name, "", "Sale "+other.Name+" is left out: it has the same path.")
		}
	}
	key := "sales/" + s.Name + "/"
	c.opens = now.Add(curtain + time.Second).Truncate(time.Second)
	if !s.Opens.IsZero() {
		c.set(key+"opens", strconv.Quote(c.opens.Format(time.RFC3339)), "Sale "+s.Name+" opens when the crowd comes, at "+c.opens.Format(time.TimeOnly)+".")
	}
	if !s.Closes.IsZero() {
		closes := c.opens.Add(24 * time.Hour)
		c.set(key+"closes", strconv.Quote(closes.Format(time.RFC3339)), "It does not close.")
	}
}

// gateway is the one that is rehearsed.
type gateway struct {
	*child  // nil: it was running
	address string
	host    string
	desk    *desk
}

// startGateway runs self on the changed file. The copy lies beside the original, because
// names of files in it are relative to that.
func startGateway(ctx context.Context, self, file string, c *copyOf) (*gateway, error) {
	text, err := config.Rewrite(file, c.changes)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".rehearsal-*.yaml")
	if err != nil {
		return nil, fmt.Errorf("write the file for the rehearsal beside yours: %w", err)
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(text); err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("write the file for the rehearsal: %w", err)
	}
	if _, err := config.Load(f.Name()); err != nil {
		return nil, fmt.Errorf("your file does not hold as it is changed for the rehearsal: %w", err)
	}
	ch, at, err := spawn(ctx, `"msg":"listening".*"proxy":"([^"]+)".*"admin":"([^"]+)"`, self, "run", "-config", f.Name())
	if err != nil {
		return nil, err
	}
	g := &gateway{child: ch, address: at[1], host: at[1], desk: newDesk(at[2], "")}
	if err := g.ready(ctx); err != nil {
		ch.stop()
		return nil, err
	}
	return g, nil
}

// ready waits until the gateway says that it is.
func (g *gateway) ready(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, startsWithin)
	defer cancel()
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		if status, _, err := g.desk.get(within, "/readyz"); err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-t.C:
		case <-within.Done():
			return fmt.Errorf("wait for the gateway: not ready after %v", startsWithin)
		}
	}
}
