# What a contributor and the CI run. Every target sets up what it needs; `make setup` alone does it all.
# ARGS goes to the program behind the target, for instance: make check ARGS='HLTH-2 --provider process'
SHELL := /bin/bash
.DEFAULT_GOAL := help
# The subject manifest finds the reference backend by the same variable; a recipe must not lose it.
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
CARGO := cargo
ARGS ?=
# A bug to switch on in the reference backend; the gate must then fail and name it.
DEFECT ?=
# What `make fuzz` feeds, and for how long.
TARGET ?= redis_dialogue
SECONDS ?= 60
SUBJECT ?= fixtures/subjects/reference.toml

.NOTPARALLEL:
.PHONY: setup tools nextest openssl images-if-needed second-redis images build check test test-otel fuzz bench bench-proxy bench-backend \
    lint deny fmt clean help

setup: tools nextest openssl images-if-needed second-redis ## install what is missing (apt-get, root or sudo), build images if none can be had

tools:
	@fixtures/setup/tools

nextest:
	@fixtures/setup/nextest

openssl:
	@fixtures/setup/openssl

images-if-needed:
	@fixtures/setup/images

second-redis:
	@fixtures/setup/second-redis --fetch >/dev/null

images: ## build the container images from the installed servers
	fixtures/images/build

build: ## build the gate and the reference backend
	$(CARGO) build --locked --package touchstone --package reference-backend

check: tools images-if-needed build ## gate the reference backend (ARGS='HLTH-2 --provider process', DEFECT=name)
	TOUCHSTONE_SECOND_REDIS_SERVER=$$(fixtures/setup/second-redis) \
	    $(TARGET_DIR)/debug/touchstone check --subject $(SUBJECT) $(if $(DEFECT),--env BACKEND_DEFECT=$(DEFECT)) $(ARGS)

test: tools nextest openssl images-if-needed ## run every test (PROPTEST_CASES=1000 for long property tests)
	@fixtures/setup/tools curl
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace --doc --quiet
	$(CARGO) nextest run --locked --workspace $(ARGS)

test-otel: ## test the backend's export of spans, which the default build leaves out
	$(CARGO) test --locked --package reference-backend --features otel otel::

# Stable Rust will do without a sanitizer: there is no unsafe code that one could watch.
fuzz: ## feed a decoder random bytes (TARGET=redis_dialogue SECONDS=3600)
	@command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	cd harness/wire && mkdir -p fuzz/corpus/$(TARGET) && $(CARGO) fuzz run --sanitizer none $(TARGET) \
	    fuzz/corpus/$(TARGET) fuzz/seeds/$(TARGET) -- \
	    -max_total_time=$(SECONDS) -max_len=65536 -dict=fuzz/dictionaries/$(TARGET) $(ARGS)

bench: tools ## measure latency baselines
	$(CARGO) bench --locked --package touchstone-benches $(ARGS)

bench-proxy: ## measure the proxy beside HAProxy, about five minutes (ARGS='--remark "a quiet machine"')
	@fixtures/setup/tools haproxy
	$(CARGO) bench --locked --package touchstone-benches --bench proxy -- $(ARGS)

bench-backend: tools ## measure the reference backend beside a bare handler, about three minutes (ARGS='--remark "a quiet machine"')
	@fixtures/setup/tools wrk
	$(CARGO) bench --locked --package touchstone-benches --bench backend_load -- $(ARGS)

lint: openssl ## formatting, clippy, rustdoc: nothing may be left to say
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --package reference-backend --features otel --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

# The advisories' database is fetched; offline the rest is looked at all the same.
deny: ## licences, sources, versions, and known vulnerabilities where their database can be had
	@fixtures/setup/cargo-deny
	$(CARGO) deny --locked --offline check --hide-inclusion-graph licenses bans sources
	@if timeout 60 $(CARGO) deny fetch db >/dev/null 2>&1; then $(CARGO) deny --locked check --hide-inclusion-graph advisories; \
	else echo 'advisories: not looked at, their database cannot be fetched here'; fi

fmt: ## format the code
	$(CARGO) fmt --all

clean: ## remove what was built and what runs left behind, and the images built here
	$(CARGO) clean
	rm -rf reports/runs
	@fixtures/setup/images --remove

help: ## this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
