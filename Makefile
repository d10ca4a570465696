# Everything there is to do with this tree. `make` alone lists it.
GO ?= go
SOAK ?= 10m
export CGO_ENABLED ?= 0

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

build: ## build bin/penstock and bin/sampleshop
	$(GO) build -trimpath -o bin/penstock ./cmd/penstock
	$(GO) build -trimpath -o bin/sampleshop ./cmd/sampleshop

run: build ## start the sample shop and a gateway in front of it
	@sh deploy/demo/run.sh

test: needs ## test everything, with real processes and a real Redis
	CGO_ENABLED=1 $(GO) test -race -timeout 10m $$($(GO) list ./... | grep -v /cmd/penstock)
	$(GO) test -timeout 12m ./cmd/penstock

check: ## format, vet and lint
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "these files are not formatted" >&2; exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...

bench: needs ## measure, as ratios against a baseline in the same run
	$(GO) test -run '^$$' -bench . -benchtime 1s $$($(GO) list ./... | grep -v /cmd/penstock)
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 10m ./cmd/penstock

fuzz: ## fuzz every parser of foreign bytes, a minute each
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s -fuzzminimizetime 10x $$p || exit 1; \
	  done; \
	done

soak: needs ## try the stock under random faults for SOAK (10m), or PENSTOCK_SEED alone
	cd limiter/stock/soak && PENSTOCK_SOAK=$(SOAK) $(GO) test -count 1 -timeout 0

needs: # what tests cannot do without: Redis, and a C compiler for the race detector
	@{ command -v redis-server && command -v gcc; } >/dev/null || { \
	  SUDO=; [ "$$(id -u)" = 0 ] || SUDO=sudo; \
	  $$SUDO apt-get update -q && $$SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends redis-server gcc libc6-dev; }

.PHONY: help build run test check bench fuzz soak needs
