# Everything there is to do with this tree. `make` alone lists it.
GO ?= go
SOAK ?= 10m
ROUNDS ?= 3
SECONDS ?= 8
SEEDS ?= 5
RESTARTS ?= 10
export CGO_ENABLED ?= 0

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

build: ## build bin/penstock and bin/sampleshop
	$(GO) build -trimpath -o bin/penstock ./cmd/penstock
	$(GO) build -trimpath -o bin/sampleshop ./cmd/sampleshop

run: build ## start the sample shop and a gateway in front of it
	@sh deploy/demo/run.sh

test: needs ## test everything, with real processes and a real Redis
	CGO_ENABLED=1 $(GO) test -race -timeout 10m $$($(GO) list ./... | grep -vx penstock/cmd/penstock)
	$(GO) test -timeout 12m ./cmd/penstock

check: ## format, vet and lint
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "these files are not formatted" >&2; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags referees,slowhttptest ./proxy/conformance
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...

bench: needs ## measure, as ratios against a baseline in the same run
	$(GO) test -run '^$$' -bench . -benchtime 1s $$($(GO) list ./... | grep -v /cmd/penstock)
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 10m ./cmd/penstock

bench-overload: ## play every crowd against every modelled origin, into shedder/matrix/RESULTS.md
	cd shedder/matrix && MATRIX_SEEDS=$(SEEDS) $(GO) test -run '^TestFull$$' -count 1 -timeout 0 .

bench-wire: ## send crowds to the sample shop, bare, behind HAProxy and Penstock, into cmd/penstock/bench/*.md
	@command -v /usr/sbin/haproxy >/dev/null || $(MAKE) -s packages PACKAGES=haproxy
	cd cmd/penstock/bench && PENSTOCK_ROUNDS=$(ROUNDS) PENSTOCK_SECONDS=$(SECONDS) $(GO) test -run '^$$' -bench '^Benchmark(Wire|Carts)$$' -benchtime 1x -timeout 0 -v

bench-legacy: ## the same to Apache with mod_php, into cmd/penstock/bench/LEGACY.md
	@{ command -v /usr/sbin/haproxy && command -v /usr/sbin/apache2 && ls /usr/lib/apache2/modules/libphp*.so; } >/dev/null 2>&1 || \
	  $(MAKE) -s packages PACKAGES="haproxy apache2 libapache2-mod-php php"
	cd cmd/penstock/bench && PENSTOCK_ROUNDS=$(ROUNDS) PENSTOCK_SECONDS=$(SECONDS) $(GO) test -run '^$$' -bench '^BenchmarkLegacy$$' -benchtime 1x -timeout 0 -v

bench-peers: ROUNDS = 8
bench-peers: SECONDS = 2
bench-peers: ## what a request costs beside nginx, HAProxy and bare fasthttp, into cmd/penstock/bench/PEERS.md
	@{ command -v wrk && ls /usr/sbin/nginx /usr/sbin/haproxy; } >/dev/null 2>&1 || $(MAKE) -s packages PACKAGES="nginx-light haproxy wrk"
	cd cmd/penstock/bench && PENSTOCK_ROUNDS=$(ROUNDS) PENSTOCK_SECONDS=$(SECONDS) $(GO) test -run '^$$' -bench '^BenchmarkPeers$$' -benchtime 1x -timeout 0 -v

referees: ## play the hostile table to nginx, Apache and Tomcat behind the gateway
	@{ command -v /usr/sbin/nginx && command -v /usr/sbin/apache2 && ls /usr/share/tomcat10/bin/catalina.sh; } >/dev/null 2>&1 || \
	  $(MAKE) -s packages PACKAGES="nginx-light apache2 tomcat10"
	$(GO) test -tags referees -run '^TestReferees' -count 1 -timeout 5m -v ./proxy/conformance

slowhttptest: ## attack a gateway with slow heads, slow bodies, ranges and slow reads
	@command -v slowhttptest >/dev/null || $(MAKE) -s packages PACKAGES=slowhttptest
	$(GO) test -tags slowhttptest -run '^TestSlowhttptest' -count 1 -timeout 10m -v ./proxy/conformance

packages: # installs PACKAGES, and starts none of their services
	@SUDO=; [ "$$(id -u)" = 0 ] || SUDO=sudo; \
	  $$SUDO apt-get update -q && $$SUDO env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(PACKAGES)

fuzz: ## fuzz every parser of foreign bytes, a minute each
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s -fuzzminimizetime 10x $$p || exit 1; \
	  done; \
	done

soak: needs ## try the stock under random faults for SOAK (10m), or PENSTOCK_SEED alone
	cd limiter/stock/soak && PENSTOCK_SOAK=$(SOAK) $(GO) test -count 1 -timeout 0

soak-restart: needs ## change the gateway RESTARTS (10) times under 200 customers, on both stores
	PENSTOCK_RESTARTS=$(RESTARTS) $(GO) test -count 1 -timeout 10m -v -run 'LoseNothing|ThousandReloads' ./cmd/penstock

needs: # what tests cannot do without: Redis, a C compiler for the race detector, a browser to open pages, and openssl to speak TLS with
	@{ command -v redis-server && command -v gcc && command -v chromium && command -v openssl; } >/dev/null || { \
	  SUDO=; [ "$$(id -u)" = 0 ] || SUDO=sudo; \
	  $$SUDO apt-get update -q && $$SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends redis-server gcc libc6-dev chromium openssl; }

.PHONY: help build run test check bench bench-overload bench-wire bench-legacy bench-peers fuzz soak soak-restart needs referees slowhttptest packages
