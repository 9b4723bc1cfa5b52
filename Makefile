# Build, test and measure redis-observer. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
BINARY := build/redis-observer
LDFLAGS := -s -w -X main.version=$(VERSION)
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.5.0
FUZZ_TIME ?= 30s

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

.PHONY: build
build: $(BINARY) ## build the static binary

# Always runs the compiler: its cache decides what is up to date.
.PHONY: $(BINARY)
$(BINARY):
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $@ ./cmd/redis-observer

.PHONY: man
man: ## write the manual pages to build/man (SOURCE_DATE_EPOCH sets their date)
	CGO_ENABLED=0 $(GO) run -trimpath -tags man -ldflags "$(LDFLAGS)" ./cmd/redis-observer man build/man

.PHONY: demo
demo: build ## observe real traffic for ten seconds (as root; otherwise recorded traffic)
	$(GO) run ./test/demo $(BINARY)

# Tests that lack a package skip, and fail with CI=1. The output ends with the skipped tests and the reasons.
# Choose tests by TEST='-run TestReload ./test/e2e'.
# The end-to-end tests mostly wait, so they come first and run beside the others, and more at a time than there are cores.
TEST ?= -race ./test/e2e ./...
# Without the profile of the main package, tests share what the compiler made of other packages. make lint vets.
TESTFLAGS := -json -pgo=off -vet=off -count=1
# How long a program with the race detector waits at its end for races of what still runs: a second each if nothing is said.
export GORACE := atexit_sleep_ms=100
# 1: no test may skip; packets: no test that needs only CAP_NET_RAW may skip.
REQUIRE ?= $(CI)
TCPDUMP := ./test/unpack.sh tcpdump usr/bin tcpdump libpcap0.8
HAPROXY := ./test/unpack.sh haproxy usr/sbin haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 libpcre2-8-0 libssl3
.PHONY: test
test: ## install what the tests need; run unit and end-to-end tests with the race detector
	./test/install.sh redis || test -z "$(CI)"
	./test/install.sh nat || test -z "$(CI)"
	./test/install.sh terminal || test -z "$(CI)"
	./test/install.sh browser || test -z "$(CI)"
	$(TCPDUMP) || test -z "$(CI)"
	$(HAPROXY) || test -z "$(CI)"
	./test/libraries.sh .cache/libraries || test -z "$(CI)"
	set -o pipefail; REDIS_OBSERVER_TEST_REQUIRE=$(REQUIRE) $(GO) test $(TESTFLAGS) -timeout 20m -p $$(($$(nproc) + 1)) -parallel $$(($$(nproc) + 2)) $(TEST) | $(GO) run ./test/summary

# Packages whose tests need neither root, nor the network beyond loopback, nor other programs.
UNIT := ./bpf/... ./cmd/... ./internal/... ./test/bench ./test/kit/... ./test/layers ./test/suites ./test/summary ./test/truth
.PHONY: unit
unit: ## run the unit tests: neither root nor network needed; prints the tests that skip for want of a privilege
	set -o pipefail; $(GO) test $(TESTFLAGS) -timeout 10m $(UNIT) | $(GO) run ./test/summary

.PHONY: test-places
test-places: ## run demo and tests in a container with Docker's default rights, and as an ordinary user (as root)
	./test/install.sh redis
	./test/install.sh places
	$(TCPDUMP)
	cd test/places && REDIS_OBSERVER_TEST_REQUIRE=$(CI) $(GO) test -count=1 -timeout 40m -v ./...

# SIGNALS=25 for a short run.
SIGNALS ?= 500
.PHONY: test-lifetimes
test-lifetimes: ## send signals at random moments of the listing beside 20,000 open files, 500 of each (as root)
	./test/install.sh redis
	REDIS_OBSERVER_TEST_REQUIRE=1 REDIS_OBSERVER_TEST_SIGNALS=$(SIGNALS) $(GO) test -pgo=off -count=1 -timeout 60m -run TestSignalsAtAnyMoment ./test/e2e

# PROCESSES=1000 as in make test.
PROCESSES ?= 10000
.PHONY: test-shortlived
test-shortlived: ## attribute the commands of 10,000 short-lived processes of three programs in three cgroups (as root)
	./test/install.sh redis
	REDIS_OBSERVER_TEST_REQUIRE=1 REDIS_OBSERVER_TEST_PROCESSES=$(PROCESSES) $(GO) test -pgo=off -count=1 -timeout 30m -run TestLabelsOfShortLivedProcesses ./test/e2e

# Choose rows by TRUTH='-servers redis-7.0,valkey-9 -transports unix -clients go-redis,raw -count 5'; see docs/accuracy.md.
.PHONY: test-truth
test-truth: build ## compare the counts with the servers' own: every server, every client, over TCP, Unix sockets and TLS (as root, about 40 minutes)
	$(GO) run ./test/truth -observer $(BINARY) $(TRUTH)

# The rows of the short form over Unix sockets: libraries, and the raw rows of order and ends. test/e2e has redis-benchmark and go-redis.
TRUTH_UNIX := ioredis,node-redis,hiredis,redis-py,phpredis,raw-pipelines,raw-endings,raw-left,raw-crowd,raw-threads,raw-behind,raw-full
# The rows of the short form over TLS: OpenSSL 3.0 at the server; libraries of all kinds, threads, and a cluster.
TRUTH_TLS := go-redis,ioredis,hiredis-ssl,redis-py,raw-requests,raw-transactions,raw-left,raw-threads,cluster
# The rows with all labels: processes, threads, connections that end in every way.
TRUTH_LABELS := redis-cli,go-redis,redis-py,hiredis,raw-pipelines,raw-endings,raw-left,raw-crowd,raw-threads,raw-resets
.PHONY: test-truth-short
test-truth-short: ## compare for one server with threads and one without
	$(MAKE) test-truth TRUTH='-servers redis-7.0,redis-7.0-io -transports tcp'
	$(MAKE) test-truth TRUTH='-servers redis-7.0,redis-7.0-io -transports unix -clients $(TRUTH_UNIX)'
	$(MAKE) test-truth TRUTH='-servers redis-7.0 -transports tls -clients $(TRUTH_TLS)'
	$(MAKE) test-truth TRUTH='-labels -servers redis-7.0 -transports tcp -clients $(TRUTH_LABELS)'

# MATRIX=-unix tests Unix sockets with every backend of every kernel.
KERNELS ?= 5.10,6.1,6.12,7.2,7.2-arm64,native
.PHONY: test-kernels
test-kernels: ## run the conformance test on this kernel and on Debian's 5.10, 6.1, 6.12 and 7.2, that for arm64 too, in QEMU (as root)
	./test/install.sh redis
	./test/install.sh kernels
	$(if $(findstring arm64,$(KERNELS)),./test/install.sh arm64)
	./test/kernels/run.sh $(KERNELS) $(MATRIX)

.PHONY: bench-kernels
bench-kernels: ## count the instructions of each backend on Debian's kernels in QEMU
	./test/install.sh redis
	./test/install.sh kernels
	./test/kernels/cost.sh

.PHONY: generate
generate: ## regenerate the eBPF objects, the command table, alerts and dashboard (clang 14)
	./test/install.sh clang
	$(GO) generate ./...
	cd deploy/mixin && $(GO) run . ..

.PHONY: generate-check
generate-check: generate ## fail if the generated files differ from the committed ones
	git diff --exit-code -- bpf internal/command deploy

.PHONY: format
format: ## format Go and C
	./test/install.sh clang
	gofmt -w $$(git ls-files '*.go')
	clang-format-14 -i bpf/*.c bpf/*.h

.PHONY: lint
lint: ## run the linters
	./test/install.sh clang
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run make format"; exit 1; }
	clang-format-14 --dry-run --Werror bpf/*.c bpf/*.h
	shellcheck -S warning .ci/run $$(git ls-files '*.sh')
	shellcheck -S warning -s sh test/kernels/init test/kernels/*.job
	$(GO) vet -pgo=off ./...
	$(GO) vet -pgo=off -tags kube ./test/e2e
	cd release && $(GO) vet ./...
	cd deploy/mixin && $(GO) vet ./...
	$(GO) run $(ACTIONLINT)
	$(GO) run $(GOLANGCI_LINT) run ./...

# SOAK_TIME=30m for a long run.
SOAK_TIME ?= 2m
.PHONY: soak
soak: build ## run load, kills, churn and reloads for SOAK_TIME: nothing may grow or be lost (as root)
	./test/install.sh redis
	$(GO) run ./test/soak -observer $(BINARY) -duration $(SOAK_TIME)

# Choose rows by NEIGHBOURS='-only pool -limit 0'.
.PHONY: test-neighbours
test-neighbours: build ## run a well-behaved client beside each hostile one; its counts must be exact (as root)
	./test/install.sh redis
	$(GO) run ./test/neighbours -observer $(BINARY) $(NEIGHBOURS)

# Choose by SUITES='-only go-redis', '-short'.
.PHONY: test-suites
test-suites: build ## run test suites of clients and of Redis over TLS, without and beside observers: same outcomes (as root)
	./test/install.sh redis
	./test/install.sh nat
	./test/install.sh suites
	./test/suites/fetch.sh .cache/suites hiredis redis-py go-redis redis
	$(GO) run -pgo=off ./test/suites -observer $(BINARY) $(SUITES)

.PHONY: deploy-check
deploy-check: ## check container, manifests, chart, unit, dashboard, alerts and a small fleet, with a real Prometheus (as root)
	./test/install.sh redis
	cd test/deploy && REDIS_OBSERVER_TEST_REQUIRE=$(CI) $(GO) test -timeout 10m -p 1 . ./fleet

# FLEET='-nodes 20 -duration 30s -interval 1s' for a short run, '-nodes 50', '-native'; FLEET=-help lists all.
.PHONY: fleet
fleet: ## measure what a Prometheus needs for 200 nodes, and compare what it has with what was counted (about 9 minutes)
	cd test/deploy && $(GO) run ./fleet $(FLEET)

.PHONY: kube-check
kube-check: ## compare labels and service:// addresses with a real kube-apiserver and etcd, built from Go modules (as root)
	./test/install.sh redis
	./test/install.sh nat
	./test/kube/build.sh
	REDIS_OBSERVER_TEST_REQUIRE=$(CI) $(GO) test -pgo=off -tags kube -count=1 -timeout 15m -run TestKube ./test/e2e

.PHONY: otlp-check
otlp-check: ## compare what arrives by OTLP at the Collector's receiver and at a Prometheus with /metrics (as root)
	./test/install.sh redis
	cd test/otlp && REDIS_OBSERVER_TEST_REQUIRE=$(CI) $(GO) test -timeout 30m .

.PHONY: release
release: ## build binaries, archives, packages, image, chart, bills of materials and checksums into dist
	cd release && $(GO) run . -output ../dist

.PHONY: release-compare
release-compare: ## build the release again from another clone: every byte must be the same (COLD=1: without Go's cache)
	./release/compare.sh

.PHONY: release-check
release-check: ## install and run what is in dist: packages in an overlay, the image by runc (as root)
	./test/install.sh redis
	./test/install.sh release
	cd release && $(GO) test ./...
	cd test/deploy && REDIS_OBSERVER_TEST_REQUIRE=$(CI) $(GO) test -count=1 -timeout 10m ./artefacts

.PHONY: fuzz
fuzz: ## run each fuzzer for FUZZ_TIME
	./test/fuzz.sh $(FUZZ_TIME)

# Choose cases by BENCH='-cases get -pairs 9'. PEERS=1 compares with tcpdump, tshark and MONITOR too.
.PHONY: bench
bench: build ## measure the cost of observing (as root, about 40 minutes; see docs/performance.md)
	./test/install.sh bench
	$(GO) run ./test/bench -json build/bench.json $(BENCH) $(BINARY)

.PHONY: bench-replay
bench-replay: build ## measure the cost of a replay, beside tcpdump and tshark where they are installed
	$(GO) run ./test/replay $(BINARY)

# The compiler finds cmd/redis-observer/default.pgo by itself. Commit the new one. Small changes need none.
.PHONY: profile
profile: ## collect the profile for the compiler anew: the path from events to metrics
	mkdir -p build
	$(GO) test -trimpath -run '^$$' -bench Path -cpu 1 -benchtime 3s -o build/socket.test -cpuprofile build/path.pprof ./internal/capture/socket
	$(GO) test -trimpath -run '^$$' -bench Replay -cpu 1 -benchtime 3s -o build/packet.test -cpuprofile build/replay.pprof ./internal/capture/packet
	$(GO) tool pprof -proto -output cmd/redis-observer/default.pgo build/path.pprof build/replay.pprof

.PHONY: bench-smoke
bench-smoke: ## run each Go benchmark once
	$(GO) test -pgo=off -run '^$$' -bench . -benchtime 1x ./...

.PHONY: clean
clean: ## remove everything built and fetched
	rm -rf build dist .cache
