package bench

// The shops: the sample shop, and Apache with mod_php as Debian sets it up.

import (
	"os"
	"os/user"
	"path/filepath"
	"testing"

	"penstock/cmd/penstock/rehearse/crowd"
)

// shop is one kind of shop.
type shop struct {
	name  string
	start func(tb testing.TB) server
	guess float64 // requests/s to begin with, in the order of what it can do
	conns []int   // maxconn values worth trying
	page  crowd.Step
	buy   crowd.Step
}

var page = crowd.Step{Class: "page", Method: "GET", Path: "/", Accept: "text/html,*/*;q=0.8"}

func sampleShop(args ...string) *shop {
	return &shop{
		name: "sample shop, 20 workers", guess: 200, conns: []int{8, 12, 16, 20, 24, 32, 64},
		page: page,
		buy:  crowd.Step{Class: "buy", Method: "POST", Path: "/buy.php", Body: "qty=1"},
		start: func(tb testing.TB) server {
			addr := free(tb)
			args := append([]string{"-listen=" + addr, "-stock=100000000", "-workers=20", "-service=200ms", "-backlog=511"}, args...)
			return start(tb, addr, tb.TempDir(), filepath.Join(bins, "sampleshop"), args...)
		},
	}
}

// apacheConf is Debian's own settings of prefork and of connections, on a port and in a
// directory of ours.
const apacheConf = `
ServerRoot "DIR"
ServerName localhost
PidFile "DIR/apache.pid"
Listen ADDR
USER
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
LoadModule php_module PHP
StartServers 5
MinSpareServers 5
MaxSpareServers 10
MaxRequestWorkers 150
MaxConnectionsPerChild 0
Timeout 300
KeepAlive On
MaxKeepAliveRequests 100
KeepAliveTimeout 5
ErrorLog "DIR/error.log"
DocumentRoot "DIR/shop"
DirectoryIndex index.php
<Directory "DIR/shop">
  Require all granted
</Directory>
<FilesMatch "\.php$">
  SetHandler application/x-httpd-php
</FilesMatch>
`

func legacyShop() *shop {
	return &shop{
		name: "Apache prefork with mod_php, Debian's limits, at nice 10", guess: 100, conns: []int{2, 4, 8, 12, 16, 32, 64, 150},
		page: page,
		buy:  crowd.Step{Class: "buy", Method: "POST", Path: "/buy.php", Body: "qty=1"},
		start: func(tb testing.TB) server {
			tb.Helper()
			php, err := filepath.Glob("/usr/lib/apache2/modules/libphp*.so")
			if err != nil || len(php) == 0 {
				tb.Fatalf("mod_php is not installed: %v", err)
			}
			dir, addr, as := tb.TempDir(), free(tb), ""
			if u, err := user.Current(); err == nil && u.Uid == "0" {
				as = "User www-data\nGroup www-data"
				if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // it must find its pages
					tb.Fatal(err)
				}
			}
			if err := os.CopyFS(filepath.Join(dir, "shop"), os.DirFS("testdata/legacy")); err != nil {
				tb.Fatal(err)
			}
			conf := write(tb, dir, "apache.conf", apacheConf, "DIR", dir, "ADDR", addr, "USER", as, "PHP", php[len(php)-1])
			// It is to have a machine of its own, so whoever else computes here comes first.
			return start(tb, addr, dir, "/usr/bin/nice", "-n", "10", "/usr/sbin/apache2", "-f", conf, "-DFOREGROUND")
		},
	}
}
