package main

// The files of the certificate, looked at every few seconds: whoever renews it needs to
// tell nobody. What does not load changes nothing, is logged once, and is tried again when
// the files change. It does not watch the directory: a look costs three calls of stat.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"penstock/rules"
	"penstock/rules/config"
)

// lookEvery is how often the files are looked at; a change counts when two looks agree, so
// that nothing is read that is half written.
const lookEvery = 2 * time.Second

// tlsFiles follows the files of one certificate.
type tlsFiles struct {
	set  func() *rules.Set // in use
	use  func(*rules.TLS)
	ends func() time.Time // when the one in use runs out
	told func(err error)  // of every change: nil, or why it was not taken

	done, last string // how the files looked when they were last read, and at the last look
}

func (g *gateway) tlsFiles() *tlsFiles {
	f := &tlsFiles{set: g.set.Load, use: g.proxy.UseTLS, ends: g.proxy.CertificateEnds, told: func(err error) {
		if err != nil {
			g.tlsReloads.WithLabelValues("rejected").Inc()
			g.log.Error("certificate not loaded: the last good one stays in use", "err", err)
			return
		}
		g.tlsReloads.WithLabelValues("applied").Inc()
		g.log.Info("certificate loaded", "ends", g.proxy.CertificateEnds().UTC().Format(time.RFC3339))
	}}
	f.done = looks(g.set.Load().TLS)
	f.last = f.done
	return f
}

// run looks until ctx ends.
func (f *tlsFiles) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.look(time.Now())
		}
	}
}

// look reads the files if they have changed and have stopped changing. A certificate that
// has run out does not replace one that has not.
func (f *tlsFiles) look(at time.Time) {
	t := f.set().TLS
	if t == nil {
		return
	}
	now := looks(t)
	settled := now == f.last
	if f.last = now; !settled || now == f.done {
		return
	}
	f.done = now
	next, err := config.RereadTLS(t)
	switch {
	case err != nil:
	case looks(t) != now: // while it was read
		f.done = ""
		return
	case !at.Before(next.Cert.Leaf.NotAfter) && at.Before(f.ends()):
		err = errors.New("tls.cert: has run out at " + next.Cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	default:
		f.use(next)
	}
	f.told(err)
}

// looks is what stat says of the files: which they are, when they changed, how long they are.
func looks(t *rules.TLS) string {
	if t == nil {
		return ""
	}
	var b []byte
	for _, name := range []string{t.CertFile, t.KeyFile, t.ClientCAFile} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			b = append(b, "none\n"...)
			continue
		}
		var inode uint64
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = s.Ino
		}
		b = fmt.Appendln(b, info.ModTime().UnixNano(), inode, info.Size())
	}
	return string(b)
}
