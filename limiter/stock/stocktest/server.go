package stocktest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"penstock/rules"
)

// MasterName is what the sentinels of tests call the primary.
const MasterName = "stock"

// Server is a Redis of the test's own. It keeps nothing on disk unless it is told to.
type Server struct {
	Addr string
	Dir  string
	mode rules.RedisMode
	path string
	args []string
	cmd  *exec.Cmd
	out  *bytes.Buffer
}

// StartRedis starts redis-server, which must be in PATH, on a free port, and stops it
// when the test is over. args are added to its command line.
func StartRedis(t testing.TB, args ...string) *Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("this test needs a real Redis: install redis-server: %v", err)
	}
	for range 5 { // another process may take the port between the look and the use
		s := &Server{Addr: freeAddr(t), Dir: t.TempDir(), path: path}
		s.args = append([]string{"--bind", "127.0.0.1", "--port", s.port(),
			"--save", "", "--appendonly", "no", "--dir", s.Dir}, args...)
		if s.start(t) {
			return s
		}
	}
	t.Fatal("redis-server did not start on any of five free ports")
	return nil
}

// StartReplica starts a replica of the server and waits until it follows.
func StartReplica(t testing.TB, of *Server, args ...string) *Server {
	t.Helper()
	host, port, _ := net.SplitHostPort(of.Addr)
	s := StartRedis(t, append([]string{"--replicaof", host + " " + port, "--repl-diskless-sync-delay", "0"}, args...)...)
	c := s.Client(t)
	s.await(t, "follow its primary", func(ctx context.Context) bool {
		return strings.Contains(c.Info(ctx, "replication").Val(), "master_link_status:up")
	})
	return s
}

// StartSentinel starts a sentinel that watches the primary alone and believes that it is
// dead after half a second of silence.
func StartSentinel(t testing.TB, primary *Server) *Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("this test needs a real Redis: install redis-server: %v", err)
	}
	host, port, _ := net.SplitHostPort(primary.Addr)
	for range 5 {
		s := &Server{Addr: freeAddr(t), Dir: t.TempDir(), path: path, mode: rules.RedisSentinel}
		file := filepath.Join(s.Dir, "sentinel.conf")
		text := fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %s\nsentinel monitor %[3]s %s %s 1\n"+
			"sentinel down-after-milliseconds %[3]s 500\nsentinel failover-timeout %[3]s 3000\n", s.port(), s.Dir, MasterName, host, port)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.args = []string{file, "--sentinel"}
		if s.start(t) {
			return s
		}
	}
	t.Fatal("no sentinel started on any of five free ports")
	return nil
}

// Rules is the configuration of a client of the server.
func (s *Server) Rules() rules.Redis {
	r := rules.Redis{Mode: s.mode, Addrs: []string{s.Addr}, KeyPrefix: "penstock", Timeout: 2 * time.Second}
	if s.mode == rules.RedisSentinel {
		r.MasterName = MasterName
	}
	return r
}

// Client is a plain client, to do to the server what operators and accidents do.
func (s *Server) Client(t testing.TB) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	t.Cleanup(func() { c.Close() })
	return c
}

// Kill ends the server at once, as a crash does.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// Pause stops the server where it is, and Continue lets it go on, as if nothing had been.
func (s *Server) Pause()    { s.cmd.Process.Signal(syscall.SIGSTOP) }
func (s *Server) Continue() { s.cmd.Process.Signal(syscall.SIGCONT) }

// Restart starts a killed server again where it was, with what it has kept.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Kill()
	for range 5 { // its connections may hold the port for a moment
		if s.start(t) {
			return
		}
	}
	t.Fatalf("redis-server did not come back on %s:\n%s", s.Addr, s.out)
}

func (s *Server) port() string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return port
}

// start reports whether the server has come to answer.
func (s *Server) start(t testing.TB) bool {
	t.Helper()
	s.out = &bytes.Buffer{}
	s.cmd = exec.Command(s.path, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", s.path, err)
	}
	t.Cleanup(s.Kill)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if s.answers() {
			return true
		}
		<-time.After(5 * time.Millisecond)
	}
	s.Kill()
	t.Logf("redis-server on %s did not answer:\n%s", s.Addr, s.out)
	return false
}

// answers asks without a client: whatever it says, it is there, unless it is loading.
func (s *Server) answers() bool {
	c, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	buf := make([]byte, 64)
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	n, err := c.Read(buf)
	return err == nil && !bytes.HasPrefix(buf[:n], []byte("-LOADING"))
}

// await polls until the server has come to do as is said.
func (s *Server) await(t testing.TB, what string, done func(context.Context) bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if done(t.Context()) {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("the server on %s did not %s in 30 s:\n%s", s.Addr, what, s.out)
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}
