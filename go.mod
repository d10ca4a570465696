module penstock

go 1.26.0

// go-brrr (Brotli, which Penstock never calls) cannot be had from every module proxy at the version
// fasthttp names; v1.0.1 has the same API.
replace github.com/molecule-man/go-brrr => github.com/molecule-man/go-brrr v1.0.1

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0 // in rehearsals: latencies with a known error, however long the tail
	github.com/anishathalye/porcupine v1.3.1 // in tests: can what several callers were told have happened in some order?
	github.com/chromedp/cdproto v0.159.0 // in tests: the commands of a browser that chromedp has no name for
	github.com/chromedp/chromedp v0.23.0 // in tests: does the page that checks people do so in a real browser?
	github.com/dchest/captcha v1.1.0 // draws and speaks the digits of an image challenge: offline, no dependency of its own, and sound for who cannot see
	github.com/dchest/siphash v1.2.3 // a keyed hash that is the same at every gateway; of the standard library none is
	github.com/failsafe-go/failsafe-go v0.9.8 // in tests: how near to the origin's peak does another adaptive limiter come?
	github.com/gaissmai/bart v0.30.0 // banned networks: the longest that an address is in, of 100,000, in 50 ns
	github.com/golang-jwt/jwt/v5 v5.3.1
	github.com/hashicorp/golang-lru/v2 v2.0.7
	github.com/prometheus/client_golang v1.25.0
	github.com/redis/go-redis/v9 v9.23.0
	github.com/schollz/progressbar/v3 v3.19.0 // in mine: how far it is, and how long it will take, of logs of many gigabytes
	github.com/valyala/fasthttp v1.77.0
	go.etcd.io/bbolt v1.5.0
	go.uber.org/goleak v1.3.0
	golang.org/x/sys v0.49.0
	gopkg.in/yaml.v3 v3.0.1
	pgregory.net/rapid v1.3.0
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/bits-and-blooms/bitset v1.24.4 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/influxdata/tdigest v0.0.1 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/kr/text v0.2.0 // indirect
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/molecule-man/go-brrr v1.3.0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/term v0.28.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
