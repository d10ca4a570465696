package proxy

// The rules' words for the origin in the transport's.

import (
	"context"
	"crypto/tls"

	"penstock/proxy/upstream"
	"penstock/rules"
)

// reach is the way to the origin as the rules have it.
func reach(o *rules.Origin) upstream.Config {
	c := upstream.Config{
		Network: o.Network, Address: o.Address, MaxIdle: o.MaxConcurrency,
		Connect: o.ConnectTimeout, Response: o.ResponseTimeout, IdleBody: o.IdleBodyTimeout,
	}
	if t := o.TLS; t != nil {
		c.TLS = &tls.Config{
			RootCAs: t.Roots, Certificates: t.Cert, ServerName: t.ServerName, InsecureSkipVerify: o.AnyCert,
		}
	}
	return c
}

// Warm sees to it that there are n connections to the origin, those in use included.
func (p *Proxy) Warm(ctx context.Context, n int) error {
	return p.current.Load().origin.Warm(ctx, n)
}
