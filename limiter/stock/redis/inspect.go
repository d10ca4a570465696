package redis

// Whether a Redis is fit to keep stock. It is asked by INFO, which managed services allow
// where they forbid CONFIG.

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"penstock/rules"
)

// facts are what a server says of itself; one that it does not say is not there.
type facts map[string]string

func factsOf(ctx context.Context, c *redis.Client, sections ...string) facts {
	f := make(facts)
	for _, section := range sections { // one by one: before 7.0 INFO takes one only
		said, err := c.Info(ctx, section).Result()
		if err != nil {
			continue
		}
		for line := range strings.SplitSeq(said, "\r\n") {
			if k, v, ok := strings.Cut(line, ":"); ok {
				f[k] = v
			}
		}
	}
	return f
}

// configured adds what INFO does not say.
func (f facts) configured(ctx context.Context, c *redis.Client, names ...string) {
	for _, name := range names {
		if said, err := c.ConfigGet(ctx, name).Result(); err == nil {
			if v, ok := said[name]; ok {
				f["config "+name] = v
			}
		}
	}
}

func (f facts) keepsKeys() error {
	policy := f["maxmemory_policy"]
	if policy == "" {
		policy = f["config maxmemory-policy"]
	}
	if policy != "" && policy != "noeviction" {
		return fmt.Errorf("redis evicts keys: maxmemory-policy is %q, want \"noeviction\"", policy)
	}
	return nil
}

// Inspect looks at every server that takes writes.
func (s *Store) Inspect(ctx context.Context) (warnings []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, slowFactor*s.timeout)
	defer cancel()
	var mu sync.Mutex // a cluster's servers are asked at the same time
	said := make(map[string]bool)
	err = s.everyMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		if err := c.Ping(ctx).Err(); err != nil {
			return fmt.Errorf("ping redis: %w", err)
		}
		f := factsOf(ctx, c, "server", "memory", "persistence", "replication", "cluster")
		f.configured(ctx, c, "maxmemory-policy", "save", "appendfsync")
		if err := f.refuse(s.mode, s.replicas); err != nil {
			return fmt.Errorf("redis at %s: %w", c.Options().Addr, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, w := range f.warn(s.replicas) {
			if !said[w] {
				said[w] = true
				warnings = append(warnings, w)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("inspect redis: %w", err)
	}
	return warnings, nil
}

// refuse says what makes a server unfit.
func (f facts) refuse(mode rules.RedisMode, replicas int) error {
	if v := f["redis_version"]; v != "" && !recent(v) {
		return fmt.Errorf("its version is %s, want at least 6.2", v)
	}
	if err := f.keepsKeys(); err != nil {
		return err
	}
	if role := f["role"]; role != "" && role != "master" && mode == rules.RedisSingle {
		return fmt.Errorf("it is a replica (role %q), want the primary", role)
	}
	if f["cluster_enabled"] == "1" && mode != rules.RedisCluster {
		return fmt.Errorf("it is a node of a cluster, and the mode is another")
	}
	if n, ok := f.count("connected_slaves"); ok && n < replicas {
		return fmt.Errorf("%d replicas are connected and replicas_ack is %d: no order could be sent", n, replicas)
	}
	return nil
}

// recent reports whether the version is 6.2 or later.
func recent(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, b := integer(major), integer(minor)
	return a > 6 || a == 6 && b >= 2
}

// warn says what operators should know and may want.
func (f facts) warn(replicas int) (w []string) {
	for _, q := range []struct{ name, what string }{
		{"redis_version", "its version"}, {"maxmemory_policy", "whether it evicts keys"},
		{"aof_enabled", "how it persists"}, {"role", "its role and replicas"},
	} {
		_, config := f["config "+strings.ReplaceAll(q.name, "_", "-")]
		if _, ok := f[q.name]; !ok && !config {
			w = append(w, "Redis does not say (INFO is blocked): "+q.what+" could not be checked")
		}
	}
	if n, ok := f.count("connected_slaves"); ok && n > 0 && replicas == 0 {
		w = append(w, "Redis replicates asynchronously and replicas_ack is 0: a failover may lose the last wins, and oversell as many")
	}
	return append(w, f.persistence()...)
}

func (f facts) persistence() []string {
	save, known := f["config save"]
	switch fsync := f["config appendfsync"]; {
	case f["aof_enabled"] == "0" && known && save == "":
		return []string{"Redis keeps nothing on disk: a restart loses all stock, and sales stay frozen until an operator loads them"}
	case f["aof_enabled"] == "0" && known:
		return []string{"Redis only saves snapshots: a restart loses all that was sold since the last; set appendonly yes"}
	case f["aof_enabled"] == "0":
		return []string{"Redis keeps no append-only file: a restart loses what was sold since the last snapshot, if there are any (CONFIG is blocked: that could not be checked)"}
	case fsync == "no":
		return []string{"Redis leaves it to the system when to write to disk (appendfsync no): a power cut can lose the last half minute"}
	case f["aof_enabled"] == "1" && fsync == "":
		return []string{"Redis does not say (CONFIG is blocked): how often it writes to disk (appendfsync) could not be checked"}
	}
	return nil
}

func (f facts) count(name string) (int, bool) {
	n, err := strconv.Atoi(f[name])
	return n, err == nil
}
