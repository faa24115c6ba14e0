# `make demo` and `make test` do all their set-up on a bare Debian machine; see README.md.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/installed
PEERS_INSTALLED := .venv-bench/installed
JSON ?= build/bench.json
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test verify install lint format bench bench-peers bench-lock lock clean

demo: install
	$(BIN)/ipa compare video --trace bursty --seeds 3 --report report.html

test: install
	$(BIN)/pytest -n auto

# The engines against queueing theory at larger sizes, some 2 minutes; docs/verification.md explains the tables.
verify: install
	$(BIN)/python -m tests.verification --json build/verification.json

install: $(INSTALLED)

# Debian ships Python without venv; it is added where it is missing.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python'; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# JSON keeps the results, and a chart of them beside it; of other simulators too once bench-peers has been made.
bench: install
	$(BIN)/python -m tests.benchmarks --json $(JSON)

# The same queues in other simulators, which live in an environment of their own.
bench-peers: $(PEERS_INSTALLED)
	.venv-bench/bin/python -m tests.benchmarks.peers

$(PEERS_INSTALLED): requirements-bench.lock | $(INSTALLED)
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --require-hashes -r requirements-bench.lock
	@touch $@

# Needs uv on the PATH, as lock does; after it, as it takes over what that has locked.
bench-lock:
	uv pip compile pyproject.toml tests/benchmarks/requirements.in --constraint requirements.lock --universal \
		--generate-hashes --no-emit-index-url --custom-compile-command 'make bench-lock' --quiet \
		--output-file requirements-bench.lock

# Needs uv on the PATH. One lock for all platforms and Python versions, with hashes.
lock:
	uv pip compile pyproject.toml --all-extras --universal --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' --quiet --output-file requirements.lock

clean:
	rm -rf .venv .venv-bench build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
