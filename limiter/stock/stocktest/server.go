package stocktest

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"penstock/rules"
)

// Server is a Redis of the test's own, without persistence.
type Server struct {
	Addr string
	cmd  *exec.Cmd
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
		if s := tryRedis(t, path, args); s != nil {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatal("redis-server did not start on any of five free ports")
	return nil
}

// Rules is the configuration of a client of the server.
func (s *Server) Rules() rules.Redis {
	return rules.Redis{Addr: s.Addr, KeyPrefix: "penstock", Timeout: 2 * time.Second}
}

// Kill ends the server at once, as a crash does.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

func tryRedis(t testing.TB, path string, args []string) *Server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close()
	s := &Server{Addr: addr.String()}
	s.cmd = exec.Command(path, append([]string{"--bind", "127.0.0.1", "--port", fmt.Sprint(addr.Port),
		"--save", "", "--appendonly", "no", "--dir", t.TempDir()}, args...)...)
	out := &strings.Builder{}
	s.cmd.Stdout = out
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		c, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err == nil {
			c.Close()
			return s
		}
	}
	s.Kill()
	t.Logf("redis-server on %s did not answer:\n%s", s.Addr, out)
	return nil
}
