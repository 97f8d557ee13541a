# Everything that people type; CI types the same. `make` alone lists it.

SHELL := /bin/bash -o pipefail
CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
GUEST_DIR := $(TARGET_DIR)/wasm32-wasip2/guest
HOST_BIN := $(TARGET_DIR)/debug/greenroom

EXAMPLES := $(notdir $(wildcard examples/*))
FIXTURES := $(notdir $(wildcard tests/guests/*))
GUESTS := $(EXAMPLES) $(FIXTURES)

# Where `make run` listens and keeps its data.
LISTEN ?= 127.0.0.1:6420
DATA ?= .greenroom

.DEFAULT_GOAL := help
.PHONY: help build release guests examples run fmt lint layers test unit e2e bench clean tools npm browser

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

tools: ## Install what the build needs besides Rust, a C compiler, make and Node
	@rustup target list --installed | grep -qx wasm32-wasip2 || rustup target add wasm32-wasip2
	@rustup component list --installed | grep -q '^clippy' || rustup component add clippy
	@rustup component list --installed | grep -q '^rustfmt' || rustup component add rustfmt

build: tools ## Build the host, for development
	$(CARGO) build -p greenroom

release: tools ## Build the host, optimised
	$(CARGO) build --release -p greenroom

guests: tools ## Build all actors (examples and test fixtures) for wasm, in one go
	$(CARGO) build --profile guest --target wasm32-wasip2 $(addprefix -p ,$(GUESTS))

examples: tools ## Build the example actors for wasm
	$(CARGO) build --profile guest --target wasm32-wasip2 $(addprefix -p ,$(EXAMPLES))

run: build examples ## Start the host with the examples deployed, ready to call
	@GREENROOM_BIN=$(HOST_BIN) GREENROOM_GUESTS=$(GUEST_DIR) LISTEN=$(LISTEN) DATA=$(DATA) \
		tests/run-examples $(EXAMPLES)

fmt: ## Format everything
	$(CARGO) fmt --all

layers: ## Check that no crate imports what its layer must not
	@CARGO="$(CARGO)" tests/check-layers

lint: tools layers ## Formatting, clippy, documentation, layers
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) clippy -p greenroom-bench -p greenroom-sdk -p greenroom-macros -p greenroom-value --all-targets -- -D warnings
	$(CARGO) clippy --target wasm32-wasip2 $(addprefix -p ,$(GUESTS)) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --workspace $(addprefix --exclude ,$(GUESTS))

unit: tools ## Tests of the crates, in seconds
	$(CARGO) test -q
	$(CARGO) test -q -p greenroom-sdk -p greenroom-macros -p greenroom-value

npm: ## Install the stock clients that the end-to-end tests use
	@cd tests/e2e && if [ ! -d node_modules ] || [ package-lock.json -nt node_modules ]; then \
		npm ci --no-audit --no-fund && touch node_modules; fi

browser: ## Make sure there is a Chromium for the tests of web pages
	@tests/browser-setup

e2e: build guests npm browser ## End-to-end tests against the real binary; CASE=sleep for one file
	cd tests/e2e && GREENROOM_BIN=$(HOST_BIN) GREENROOM_GUESTS=$(GUEST_DIR) \
		node --test --test-concurrency=2 --test-timeout=1200000 $(or $(addsuffix .test.mjs,$(CASE)),*.test.mjs)

test: lint unit e2e ## Everything that CI runs

bench: release guests ## Speed and memory, as ratios to yardsticks in the same run
	GREENROOM_BIN=$(TARGET_DIR)/release/greenroom GREENROOM_GUESTS=$(GUEST_DIR) \
		$(CARGO) run --release -q -p greenroom-bench

clean: ## Remove everything that was built
	$(CARGO) clean
	rm -rf tests/e2e/node_modules
