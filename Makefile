# Everything starts here; `make help` lists the targets.
#
# The binary is linked statically so that it needs nothing where it runs. Where
# no static libc or libseccomp can be had: make LINK=dynamic.

GO      ?= go
LINK    ?= static
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

static  := -linkmode external -extldflags -static
tags    := netgo,osusergo
linking := $(if $(filter static,$(LINK)),$(static))
# `corpora pull` asks the proxies that this Go would ask without configuration, unless GOPROXY says otherwise.
stamp   := -X main.version=$(VERSION) -X main.proxies=$(shell GOENV=off GOPROXY= $(GO) env GOPROXY)

.DEFAULT_GOAL := build
.PHONY: help setup build demo test test-long fuzz bench bench-long bench-overhead bench-speed bench-discovery bench-recall bench-runtimes bench-static bench-directed bench-everyday bench-enforcement bench-newcomer generate release clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: ## install what building, the demo and the tests need
	@scripts/setup build demo test

build: ## bin/tjfuzz (the default)
	@scripts/setup build
	$(GO) build -trimpath -tags $(tags) -ldflags '$(linking) $(stamp)' -o bin/tjfuzz ./cmd/tjfuzz

demo: build ## learn a policy for jq, enforce it, verify it (a minute)
	@scripts/setup demo
	@scripts/demo

test: ## every check and every test; as root, those that need the kernel too
	@scripts/setup build test generate
	@scripts/check

test-long: ## the tests that learn, at full length: 14 programs a minute each, 20,000 runs (half an hour)
	@scripts/setup build test
	TJFUZZ_LONG=1 TJFUZZ_LEARN=60s $(GO) test -v -count=1 -timeout 90m ./trace/rawtp ./fuzz/launch ./cmd/tjfuzz ./benchmarks/acceptance

# FUZZ='10m FuzzStack' is one of them, for longer.
fuzz: ## every fuzz target, a minute each (an hour)
	@scripts/setup build test
	@scripts/fuzz $(FUZZ)

bench: ## a part of each benchmark, and what they say to benchmarks/RESULTS.md (as root; 32 minutes)
	@scripts/setup build test bench everyday
	$(GO) run ./benchmarks/results

bench-long: bench-overhead bench-speed bench-discovery bench-recall bench-runtimes bench-static bench-directed bench-everyday bench-enforcement bench-newcomer ## all benchmarks, whole (as root; most of a day)
	$(GO) test -run '^$$' -bench . -benchmem -timeout 2h ./...

bench-overhead: ## what recording costs, beside other tools (half an hour)
	@scripts/setup build test bench
	$(GO) run ./benchmarks/overhead

bench-speed: ## how often programs are run, beside afl-fuzz, and what breakpoints cost (a quarter of an hour)
	@scripts/setup build test bench
	$(GO) run ./benchmarks/speed

# 14 programs, four sessions each of up to 5 minutes: DISCOVERY='-programs jq -duration 60s' is shorter.
bench-discovery: ## what learning finds, when, and by varying what (hours)
	@scripts/setup build test bench
	$(GO) run ./benchmarks/discovery $(DISCOVERY)

# RECALL='-programs sed -duration 60s -dir DIR' is shorter.
bench-recall: ## what learning misses, by upstream test suites (hours)
	@scripts/setup build test bench services
	$(GO) run ./benchmarks/recall $(RECALL)

bench-runtimes: ## what container runtimes call after loading a filter (a minute)
	@scripts/setup build test bench
	$(GO) run ./benchmarks/runtimes

bench-static: ## what static analysis says beside what programs do (5 minutes)
	@scripts/setup build test bench
	$(GO) run ./benchmarks/static

# DIRECTED='-programs gzip -duration 60s' is shorter.
bench-directed: ## what aiming runs at what the code can reach is worth (100 minutes)
	@scripts/setup build test bench
	$(GO) run ./benchmarks/directed $(DIRECTED)

# EVERYDAY='-programs lzop -execs 300' is shorter.
bench-everyday: ## what learning misses of programs that nobody has looked at (half an hour)
	@scripts/setup build test bench everyday
	$(GO) run ./benchmarks/everyday $(EVERYDAY)

bench-enforcement: ## what a policy costs, beside bubblewrap and firejail (5 minutes)
	@scripts/setup build test bench
	$(GO) run ./benchmarks/enforcement

bench-newcomer: ## how long the first commands of README.md take on a bare machine (5 minutes)
	@scripts/setup build bench
	$(GO) run ./benchmarks/newcomer

generate: ## make all generated files anew
	@scripts/setup build generate
	$(GO) generate ./...

# ARCH=arm64 elsewhere takes a cross compiler and that machine's libseccomp, see docs/release.md.
ARCH    ?= $(shell $(GO) env GOARCH)
CROSS   := $(if $(filter-out $(shell $(GO) env GOHOSTARCH),$(ARCH)),CC=aarch64-linux-gnu-gcc)
release: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
release: ## dist/: a static, reproducible binary, packages, an OCI image layout, manual pages, completions, SBOM, checksums
	@scripts/setup build
	@rm -rf dist && mkdir -p dist/man dist/completions
	GOARCH=$(ARCH) CGO_ENABLED=1 $(CROSS) $(GO) build -trimpath -buildvcs=false -tags $(tags) -ldflags '-s -w $(static) $(stamp)' \
		-o dist/tjfuzz-$(VERSION)-linux-$(ARCH) ./cmd/tjfuzz
	$(GO) test -count=1 -ldflags '$(stamp)' -run '^(TestEachCommandHasAManualPage|TestShellsComplete)$$' ./cmd/tjfuzz -man "$$PWD/dist/man" -completions "$$PWD/dist/completions"
	scripts/release/make dist $(VERSION) $(ARCH)
	@cat dist/SHA256SUMS

clean: ## remove what building made
	rm -rf bin dist
