# What a developer types. The text after ## is the help.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO       ?= go
LINT     := .cache/bin/golangci-lint
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 10s
# Further arguments to go test: make test TESTFLAGS='-run Slot -v'
TESTFLAGS ?=

# Each folder below test/ that has a package-lock.json: the Postgres servers, Payload, the official clients.
NODE_MODULES := $(patsubst %/package-lock.json,%/node_modules/.package-lock.json,$(wildcard test/*/package-lock.json))

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/cdc, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/cdc ./cmd/cdc

.PHONY: check
check: $(LINT) ## before every commit: format, vet, lint and the quick tests, under a minute
	$(LINT) fmt --diff
	$(GO) vet ./...
	$(LINT) run
	cd test/chaos && $(GO) vet ./... && ../../$(LINT) run
	$(GO) test -short -timeout 5m ./...

# Most of the time tests wait for servers, so more of them run at once than there are processors.
.PHONY: test
test: $(NODE_MODULES) ## everything, installing what it needs; with CI=true nothing skips
	$(GO) test -count=1 -timeout 30m -parallel 4 $(TESTFLAGS) ./...
	$(GO) test -C test/chaos -count=1 -timeout 10m $(TESTFLAGS) ./...

.PHONY: race
race: $(NODE_MODULES) ## the packages' tests under the race detector
	$(GO) test -race -timeout 30m $(TESTFLAGS) ./internal/... ./cmd/...

.PHONY: e2e
e2e: $(NODE_MODULES) ## the built binary against real Postgres, Payload and clients
	$(GO) test -count=1 -timeout 30m $(TESTFLAGS) ./test/e2e/...

# Built first: `go run` dies of a SIGTERM without passing it on.
DEMO_MODULES := $(filter test/postgres/% test/payload/%,$(NODE_MODULES))
.PHONY: demo
demo: $(DEMO_MODULES) ## publish a document and watch it arrive; ONCE=1 ends by itself
	@[ -e .cache/bin/demo ] || echo 'building the demo: a minute or two, the first time'
	@$(GO) build -o .cache/bin/demo ./test/demo
	@GO='$(GO)' ONCE=$(ONCE) exec .cache/bin/demo

.PHONY: bench
bench: $(NODE_MODULES) ## speed and memory, beside pg_recvlogical
	@$(GO) run ./test/bench
	@$(GO) test -run '^$$' -bench '^BenchmarkRead$$' ./internal/payload

# A module of its own: the product needs nothing that it needs. CHAOS_SECONDS=n is how long each seed is bad.
SEEDS ?= $(if $(SEED),1,5)
.PHONY: chaos
chaos: $(NODE_MODULES) ## everything fails at random and the index is right in the end: SEEDS=n, SEED=n
	@SEED=$(SEED) SEEDS=$(SEEDS) CHAOS_SECONDS=$(CHAOS_SECONDS) $(GO) test -C test/chaos -count=1 -timeout 12h -v -run '^TestChaos$$' .

.PHONY: mutants
mutants: $(NODE_MODULES) ## plant known bugs and see that the tests catch each
	@$(GO) run ./test/mutants

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (10s) each
	@grep -roE --include='*_test.go' --exclude-dir=node_modules '^func Fuzz[A-Za-z0-9_]+' . | while IFS=: read -r file func; do \
		$(GO) test "$${file%/*}" -run '^$$' -fuzz "^$${func#func }$$" -fuzztime $(FUZZTIME); done

.PHONY: lint
lint: $(LINT) ## only the linters; the dependency direction is one of them
	$(LINT) run

.PHONY: fmt
fmt: $(LINT) ## format all code
	$(LINT) fmt

# Built from source once, at the version pinned in tools/go.mod. It takes minutes the first time.
$(LINT): tools/go.mod tools/go.sum
	$(GO) build -C tools -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

# npm writes this file last. Without npm the tests that need it say so: they skip, or fail in CI.
%/node_modules/.package-lock.json: %/package-lock.json %/package.json
	@if command -v npm >/dev/null; then cd $* && npm ci --no-audit --no-fund && touch node_modules/.package-lock.json; \
	elif [ "$${CI:-}" = true ]; then echo 'npm (Node 20 or newer) is needed for $*'; exit 1; \
	else echo 'npm is not installed: tests that need $* will skip'; fi
