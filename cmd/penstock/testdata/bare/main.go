// Bare is the yardstick for the cost of a refusal: a fasthttp server that answers every
// request with the same bytes and does nothing else.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/valyala/fasthttp"
)

func main() {
	status := flag.Int("status", 200, "`code` of the answer")
	headers := flag.String("headers", "", "`lines` of the answer's head")
	body := flag.String("body", "", "`bytes` of the answer")
	flag.Parse()
	lines := strings.Split(*headers, "\n")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ln.Addr())
	answer := []byte(*body)
	server := fasthttp.Server{NoDefaultServerHeader: true, Handler: func(c *fasthttp.RequestCtx) {
		c.SetStatusCode(*status)
		for _, line := range lines {
			name, value, _ := strings.Cut(line, ": ")
			c.Response.Header.Set(name, value)
		}
		c.SetBody(answer)
	}}
	log.Fatal(server.Serve(ln))
}
