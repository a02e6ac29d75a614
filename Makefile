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
.PHONY: setup tools nextest openssl images-if-needed images build check test fuzz bench bench-proxy lint fmt clean help

setup: tools nextest openssl images-if-needed ## install what is missing (apt-get, root or sudo), build images if none can be had

tools:
	@fixtures/setup/tools

nextest:
	@fixtures/setup/nextest

openssl:
	@fixtures/setup/openssl

images-if-needed:
	@fixtures/setup/images

images: ## build the container images from the installed servers
	fixtures/images/build

build: ## build the gate and the reference backend
	$(CARGO) build --locked --package touchstone --package reference-backend

check: tools images-if-needed build ## gate the reference backend (ARGS='HLTH-2 --provider process', DEFECT=name)
	$(TARGET_DIR)/debug/touchstone check --subject $(SUBJECT) $(if $(DEFECT),--env BACKEND_DEFECT=$(DEFECT)) $(ARGS)

test: tools nextest openssl images-if-needed ## run every test (PROPTEST_CASES=1000 for long property tests)
	@fixtures/setup/tools curl
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace --doc --quiet
	$(CARGO) nextest run --locked --workspace $(ARGS)

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

lint: openssl ## formatting, clippy, rustdoc: nothing may be left to say
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

fmt: ## format the code
	$(CARGO) fmt --all

clean: ## remove what was built and what runs left behind, and the images built here
	$(CARGO) clean
	rm -rf reports/runs
	@fixtures/setup/images --remove

help: ## this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
