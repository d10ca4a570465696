package stock_test

import (
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"penstock/limiter/stock/embedded"
	"penstock/limiter/stock/redis"
	"penstock/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "stock.db") }

func openFile(t testing.TB, path string) *embedded.Store {
	t.Helper()
	store, err := embedded.Open(path)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// inBubble opens a store that must be closed before its bubble ends.
func inBubble(t testing.TB, path string) *embedded.Store {
	t.Helper()
	store, err := embedded.Open(path)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	return store
}

func dial(t testing.TB, r rules.Redis) *redis.Store {
	store := redis.New(r)
	t.Cleanup(func() { store.Close() })
	return store
}

// wait lets virtual time go by.
func wait(d time.Duration) { <-time.After(d) }
