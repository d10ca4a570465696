//go:build referees

package conformance

// Servers of others as referees: nginx, Apache and Tomcat behind the gateway, each with
// the whole hostile table. Each must have seen as many requests as the gateway has let
// through, which is counted on the wire between the two.
//
// They run as an ordinary user, from configurations of their own. `make referees`
// installs them.

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// referee is a server that logs a line for each request it has seen.
type referee struct {
	name  string
	files map[string]string // DIR and PORT stand for what they say
	run   []string
	env   []string
	log   string
	stop  syscall.Signal // that lets what is under way end: nginx counts a request when it has waited for the rest of its body
}

const logFormat = `"%r" %>s`

var referees = []referee{
	{
		name: "nginx",
		files: map[string]string{"nginx.conf": `
daemon off; master_process off; pid DIR/pid; error_log DIR/error.log;
events { worker_connections 512; }
http {
  access_log DIR/access.log; client_max_body_size 0; large_client_header_buffers 8 64k; keepalive_requests 100000;
  client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3; uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;
  # not 200: of those nginx checks If-Match, says 412 and keep-alive, and closes, with the next request perhaps on its way
  server { listen 127.0.0.1:PORT; location / { return 201 "$request_uri"; } }
}`},
		run: []string{"/usr/sbin/nginx", "-p", "DIR", "-c", "DIR/nginx.conf"},
		log: "access.log", stop: syscall.SIGQUIT,
	},
	{
		name: "apache",
		files: map[string]string{"apache.conf": `
ServerRoot DIR
ServerName shop
Listen 127.0.0.1:PORT
PidFile DIR/pid
ErrorLog DIR/error.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LimitRequestFields 200
LimitRequestFieldSize 65536
LimitRequestLine 65536
KeepAlive On
MaxKeepAliveRequests 0
DocumentRoot DIR
CustomLog DIR/access.log "` + strings.ReplaceAll(logFormat, `"`, `\"`) + `"`},
		run: []string{"/usr/sbin/apache2", "-X", "-f", "DIR/apache.conf"},
		log: "access.log", stop: syscall.SIGTERM,
	},
	{
		name: "tomcat",
		files: map[string]string{
			"conf/server.xml": `<Server port="-1"><Service name="Catalina">
  <Connector port="PORT" address="127.0.0.1" protocol="HTTP/1.1" maxHttpHeaderSize="65536" maxSwallowSize="-1" maxKeepAliveRequests="-1" maxHeaderCount="200"/>
  <Engine name="Catalina" defaultHost="shop"><Host name="shop" appBase="DIR/webapps" autoDeploy="false" deployOnStartup="false">
    <Valve className="org.apache.catalina.valves.AccessLogValve" directory="DIR" prefix="access" suffix=".log" rotatable="false" buffered="false" pattern="&quot;%r&quot; %s"/>
  </Host></Engine></Service></Server>`,
			"conf/web.xml": `<web-app/>`, "webapps/none": "", "temp/none": "",
		},
		run: []string{"/usr/share/tomcat10/bin/catalina.sh", "run"},
		env: []string{"CATALINA_HOME=/usr/share/tomcat10", "CATALINA_BASE=DIR"},
		log: "access.log", stop: syscall.SIGTERM,
	},
}

func TestRefereesCountTheSame(t *testing.T) {
	for _, r := range referees {
		t.Run(r.name, func(t *testing.T) {
			addr, finish := r.start(t)
			w := &wire{to: addr}
			ln := loopback(t)
			stop := backend(t, ln, w.carry)
			g := gateway(t, file, ln.Addr().String(), nil)
			for _, row := range table() {
				row.drive(t, g.addr)
			}
			g.stop()
			stop()
			want := int(w.heads.Load())
			if want < len(table())/2 {
				t.Fatalf("only %d requests reached it", want)
			}
			if got := finish(); len(got) != want {
				t.Errorf("%s has seen %d requests, the gateway has let %d through; the last:\n%s", r.name, len(got), want, strings.Join(got[max(0, len(got)-20):], "\n"))
			}
			t.Logf("%s: %d requests of %d rows", r.name, want, len(table()))
		})
	}
}

// drive sends a row, and the probe as the last request of its connection.
func (r *row) drive(t *testing.T, addr string) {
	c := dial(t, addr)
	defer c.Close()
	io.WriteString(c, r.sent+strings.Replace(probe, "\r\n", "\r\nConnection: close\r\n", 1))
	if out, err := io.ReadAll(c); err != nil && !ended(err) || len(out) == 0 {
		t.Errorf("%s: got %q, %v", r.name, out, err)
	}
}

// start runs the referee, and answers where it listens, and what ends it and reads its log.
func (r *referee) start(t *testing.T) (addr string, finish func() []string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "referee")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	free := loopback(t)
	addr = free.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(addr)
	fill := strings.NewReplacer("DIR", dir, "PORT", port).Replace
	for name, text := range r.files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(fill(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	args := strings.Split(fill(strings.Join(r.run, "\x00")), "\x00")
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
	for _, e := range r.env {
		cmd.Env = append(cmd.Env, fill(e))
	}
	cmd.Env = append(cmd.Env, os.Environ()...)
	if os.Getuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if out, err := exec.Command("chown", "-R", fmt.Sprint(nobody), dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := func(how syscall.Signal) {
		syscall.Kill(-cmd.Process.Pid, how)
		cmd.Wait()
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			end(syscall.SIGKILL)
		}
		cancel()
		if t.Failed() {
			t.Logf("%s said: %s", r.name, said.String())
		}
	})
	listens(t, addr)
	return addr, func() []string {
		end(r.stop)
		b, err := os.ReadFile(filepath.Join(dir, r.log))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	}
}

// wire carries bytes between the gateway and a referee, and counts the requests that
// begin on it.
type wire struct {
	to    string
	heads atomic.Int64
}

func (w *wire) carry(c net.Conn) {
	to, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	seen, copy := io.Pipe()
	var all sync.WaitGroup
	all.Go(func() {
		for br := bufio.NewReader(seen); ; {
			var r request
			if r.readHead(br) != nil {
				break
			}
			w.heads.Add(1)
			if r.readBody(br) != nil {
				break
			}
		}
		io.Copy(io.Discard, seen)
	})
	all.Go(func() {
		io.Copy(c, to)
		c.Close()
	})
	io.Copy(io.MultiWriter(to, copy), c)
	copy.Close()
	to.(*net.TCPConn).CloseWrite()
	all.Wait()
	to.Close()
}
