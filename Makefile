# Lonja. Needs Rust, Node.js and make; installs what else it needs inside this folder.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

VALIDATORS ?= 4
DIR ?= lonja-network

.PHONY: help up down test rust outside beta check fmt lint doc licences

help: ## Show this
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

up: ## Build, and run a network of four validators until Ctrl-C
	cargo build --release --locked -p node
	target/release/lonja network up --dir $(DIR) --validators $(VALIDATORS)

down: ## Stop the network of `make up`
	target/release/lonja network down --dir $(DIR)

test: rust outside beta ## Everything that continuous integration runs

rust: ## Tests of all crates, with the house rules
	cargo test --locked --workspace

outside: ## Other people's clients against a fresh network, in both fee modes
	cargo test --locked --workspace --no-run # the very build that `make rust` tests
	clients/outside/judge target/debug/lonja

beta: ## The node builds with the consensus library's stable parts only
	RUSTFLAGS="--cfg commonware_stability_BETA" CARGO_TARGET_DIR=target/beta cargo check --locked -p node

check: fmt lint doc licences ## Format, lints as errors, docs, licences and advisories

fmt:
	cargo fmt --all --check

lint:
	cargo clippy --locked --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

licences:
	@if command -v cargo-deny > /dev/null; then cargo deny --all-features check licenses bans sources; \
	cargo deny check --disable-fetch advisories || echo "advisories: the database is not at hand, or has something to say (see above)"; \
	else echo "cargo-deny is not installed (cargo install cargo-deny --locked): licences were not checked"; fi
