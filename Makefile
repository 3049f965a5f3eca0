# make demo: see weir at work. make test: every test. Both do all they need on
# a fresh Debian 12 with Go, as root. Plain `go build ./cmd/weir` works too.

SHELL := /bin/bash -o pipefail
export CGO_ENABLED := 0
# The version is told by git here, where a checkout of another owner is no
# error.
export GOFLAGS := $(GOFLAGS) -buildvcs=false
VERSION := $(shell git describe --tags --dirty 2>/dev/null || git describe --always --dirty 2>/dev/null | sed s/^/development-/)

# Rooms without a kernel under them are tested with the race detector, all at
# once; the others one after the other, since they measure times. Those that boot
# guests come last: beside them clocks go wrong on both sides, and nothing is won
# where emulation keeps two processors busy.
GUESTS := /(guest|conformance)$$
KERNEL := /(bench|peers|lab|netif|dataplane/ebpf|demo|journey|realserver/(decap|host))(/|$$)
TIMES := .cache/test-times
RESULTS := 2>&1 | awk -v times=$(TIMES) -f tools/results.awk

.PHONY: guest conformance build demo test test-root guests packages vet lint generated race kernel docs generate bench bench-quick bench-check bench-counters fuzz clean

build:
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o weir ./cmd/weir

demo: build
	./weir demo

test: packages lint generated docs
	@mkdir -p $(dir $(TIMES)) && rm -f $(TIMES)
	@$(MAKE) --no-print-directory --keep-going race kernel guests; \
	bad=$$?; tools/slowest $(TIMES); exit $$bad

test-root: test

packages:
	tools/debian-packages

vet:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w $$unformatted"; exit 1; fi
	go vet ./...

lint: vet
	go tool -modfile=tools/lint.mod staticcheck ./...

generated:
	tools/generated

race:
	CGO_ENABLED=1 go test -race -v -timeout 10m $$(go list ./... | grep -vE '$(KERNEL)|$(GUESTS)') $(RESULTS)

kernel:
	go test -p 1 -v -timeout 40m $$(go list ./... | grep -E '$(KERNEL)') $(RESULTS)

guests:
	go test -p 1 -v -timeout 55m $$(go list ./... | grep -E '$(GUESTS)') $(RESULTS)

# The privileged tests on Linux 6.1, and weir against the kernel's IPVS there.
# ONLY=e4 runs the scenarios whose names match, RANDOM_SCENARIOS=500 as many made
# up. Both are part of test.
guest: packages
	go test -v -timeout 30m ./internal/guest $(RESULTS)

conformance: packages
	WEIR_CONFORMANCE='$(ONLY)' go test -v -timeout 90m ./internal/conformance $(RESULTS)

docs: build
	tools/docs

generate:
	tools/debian-packages
	go generate ./internal/dataplane/ebpf ./internal/realserver/decap ./internal/bench

# Measures, prints, and writes docs/benchmarks.md with its plots. make bench
# takes about half an hour, the quick one a few minutes; PARTS=packet measures
# that alone and keeps the rest of the page. One row while changing
# the packet engine: go run ./cmd/weir-bench packet --only '^gate' --door xdp
bench bench-quick: build
	tools/debian-packages bench
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o .cache/weir-bench ./cmd/weir-bench
	.cache/weir-bench run $(if $(findstring quick,$@),--short) --write docs $(PARTS)

# Fails if a packet costs 15 % more than docs/benchmarks says, as ratio to the
# floor. bench-counters writes down what make test compares: calls and sizes.
bench-check bench-counters:
	go build -trimpath -o .cache/weir-bench ./cmd/weir-bench
	.cache/weir-bench $(if $(findstring check,$@),check,counters --write docs)

fuzz:
	go test ./internal/dataplane/ebpf -run TestFuzzPackets -fuzzpackets=10000000 -timeout 2h

clean:
	rm -rf weir .cache
