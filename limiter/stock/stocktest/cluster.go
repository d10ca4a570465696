package stocktest

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"penstock/rules"
)

// Cluster is three Redis masters that share the slots. It has no replicas: what becomes
// of a cluster's data when a master dies is the same as with a single server.
type Cluster struct {
	Nodes []*Server
	Lossy []*Lossy // in front of each node; nil: clients talk to the nodes themselves
}

const slots = 16384

// StartCluster starts the masters and waits until all of them say that it is whole.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{}
	for range 3 {
		c.Nodes = append(c.Nodes, StartRedis(t, clusterArgs(t)...))
	}
	c.join(t)
	return c
}

// StartLossyCluster starts a cluster whose nodes tell everybody the address of the proxy
// before them as their own.
func StartLossyCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{}
	for range 3 {
		l := NewLossy(t)
		_, port, _ := net.SplitHostPort(l.Addr)
		node := StartRedis(t, append(clusterArgs(t), "--cluster-announce-port", port)...)
		l.Front(node.Addr)
		c.Nodes, c.Lossy = append(c.Nodes, node), append(c.Lossy, l)
	}
	c.join(t)
	return c
}

// clusterArgs name a port for the nodes' talk: ten thousand above is not always one.
func clusterArgs(t testing.TB) []string {
	_, bus, _ := net.SplitHostPort(freeAddr(t))
	return []string{"--cluster-enabled", "yes", "--cluster-port", bus}
}

func (c *Cluster) join(t testing.TB) {
	t.Helper()
	for i, s := range c.Nodes {
		client := s.Client(t)
		share := slots / len(c.Nodes)
		last := (i+1)*share - 1
		if i == len(c.Nodes)-1 {
			last = slots - 1
		}
		c.do(t, s, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if err := client.ClusterAddSlotsRange(t.Context(), i*share, last).Err(); err != nil {
			t.Fatalf("give slots to %s: %v", s.Addr, err)
		}
		if i > 0 {
			bus := client.ConfigGet(t.Context(), "cluster-port").Val()["cluster-port"]
			c.do(t, c.Nodes[0], "CLUSTER", "MEET", "127.0.0.1", s.port(), bus)
		}
	}
	for _, s := range c.Nodes {
		client := s.Client(t)
		s.await(t, "find the cluster", func(ctx context.Context) bool {
			info := client.ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3") &&
				strings.Contains(info, "cluster_slots_ok:16384") && len(client.ClusterShards(ctx).Val()) >= len(c.Nodes)
		})
	}
}

func (c *Cluster) do(t testing.TB, s *Server, args ...any) any {
	t.Helper()
	v, err := s.Client(t).Do(t.Context(), args...).Result()
	if err != nil {
		t.Fatalf("%v on %s: %v", args, s.Addr, err)
	}
	return v
}

// Rules is the configuration of a client of the cluster.
func (c *Cluster) Rules() rules.Redis {
	r := rules.Redis{Mode: rules.RedisCluster, KeyPrefix: "penstock", Timeout: 2 * time.Second}
	for _, s := range c.Nodes {
		r.Addrs = append(r.Addrs, s.Addr)
	}
	if c.Lossy != nil {
		r.Addrs = nil
		for _, l := range c.Lossy {
			r.Addrs = append(r.Addrs, l.Addr)
		}
	}
	return r
}

// Migrate moves the slot of the key to another master, key by key, as operators do while
// it is in use. between is called after every step; nil: nobody needs to know.
func (c *Cluster) Migrate(t testing.TB, key string, between func()) {
	t.Helper()
	if between == nil {
		between = func() {}
	}
	slot := c.do(t, c.Nodes[0], "CLUSTER", "KEYSLOT", key)
	from := c.owner(t, slot.(int64))
	source, target := c.Nodes[from], c.Nodes[(from+1)%len(c.Nodes)]
	id := c.do(t, target, "CLUSTER", "MYID")
	c.do(t, target, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.do(t, source, "CLUSTER", "MYID"))
	between()
	c.do(t, source, "CLUSTER", "SETSLOT", slot, "MIGRATING", id)
	between()
	for {
		keys := c.do(t, source, "CLUSTER", "GETKEYSINSLOT", slot, 1).([]any)
		if len(keys) == 0 {
			break
		}
		c.do(t, source, "MIGRATE", "127.0.0.1", target.port(), "", 0, 5000, "KEYS", keys[0])
		between()
	}
	for _, s := range []*Server{target, source, c.Nodes[(from+2)%len(c.Nodes)]} {
		c.do(t, s, "CLUSTER", "SETSLOT", slot, "NODE", id)
		between()
	}
	// A node that still hears of the old owner would take the slot from the new one, and
	// delete its keys, if it moved on by now.
	for _, s := range c.Nodes {
		client := s.Client(t)
		s.await(t, "know who has the slot", func(ctx context.Context) bool {
			return ownerBy(ctx, client, slot.(int64)) == id
		})
	}
}

// ownerBy is the id of the node that has the slot, as a server believes.
func ownerBy(ctx context.Context, client *redis.Client, slot int64) string {
	for _, shard := range client.ClusterShards(ctx).Val() {
		for _, r := range shard.Slots {
			if r.Start <= slot && slot <= r.End && len(shard.Nodes) > 0 {
				return shard.Nodes[0].ID
			}
		}
	}
	return ""
}

// owner is the index of the node that has the slot, by its own word.
func (c *Cluster) owner(t testing.TB, slot int64) int {
	t.Helper()
	for i, s := range c.Nodes {
		client := s.Client(t)
		if ownerBy(t.Context(), client, slot) == client.Do(t.Context(), "CLUSTER", "MYID").Val() {
			return i
		}
	}
	t.Fatalf("nobody has slot %d", slot)
	return 0
}
