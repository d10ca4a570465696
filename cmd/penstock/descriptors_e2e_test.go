package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// TestOutlivesWantOfDescriptors: with all descriptors taken nothing can be accepted; when
// they are free again, everybody is served as before.
func TestOutlivesWantOfDescriptors(t *testing.T) {
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	defer shop.Close()
	file := filepath.Join(t.TempDir(), "penstock.yaml")
	conf := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: \"127.0.0.1:0\"}\norigin: {url: %q}\n", shop.URL)
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	g := &gateway{process: start(t, "/bin/sh", "-c", `ulimit -n 64 && exec "$0" run -config "$1"`, penstock, file)}
	at := g.says(t, `"msg":"listening".*"proxy":"([^"]+)".*"admin":"([^"]+)"`)
	g.proxy, g.admin = at[1], at[2]
	var crowd []net.Conn
	for range 100 {
		c, err := net.Dial("tcp", g.proxy)
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, c)
	}
	g.says(t, `"msg":"accept".*too many open files`)
	for _, c := range crowd {
		c.Close()
	}
	eventually(t, "to be served again", func() bool { // those that left are still being taken from the queue
		status, body := fetch(t, "http://"+g.proxy+"/")
		return status == http.StatusOK && body == "ok"
	})
	metrics := g.metrics(t)
	if metrics["penstock_accept_errors_total"] == 0 {
		t.Error("nothing was counted")
	}
}
