# `make demo` and `make test` do all their set-up on a bare Debian machine; see README.md.

PYTHON ?= python3
MLSERVER_PYTHON ?= $(shell command -v python3.11 || command -v python3.12)
BIN := .venv/bin
DEMO_INSTALLED := .venv/demo
INSTALLED := .venv/installed
MLSERVER_INSTALLED := .venv-mlserver/installed
JSON ?= build/bench.json
# Processes that run tests: one more than there are cores, as tests of live mode mostly wait. One that has no test left
# takes over half of another's.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist worksteal
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# Tests start hundreds of processes: each would compile all that it imports where nothing may be kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check test-all test-cluster soak chaos mlserver verify install lint docs format bench mlserver-lock lock image-lock clean

# Four seeds: with none late in 4 x 20 minutes, at most 1 % are, which the recommendation is to keep.
demo: $(DEMO_INSTALLED)
	$(BIN)/ipa compare video --trace bursty --seeds 4 --report report.html

# In two minutes: that the installation works, every feature's main thing, every rule of the model, every kind of bad input.
test: install
	$(PYTEST)

# What can be known of one folder in seconds: style, types, import rules and its own tests.
check: install
	@test -d "$(FOLDER)" -a -d "tests/$(FOLDER)" || \
		{ echo 'FOLDER should name a folder that has one in tests/ too: make check FOLDER=policies'; exit 2; }
	$(BIN)/ruff check $(FOLDER) tests/$(FOLDER)
	$(BIN)/ruff format --check $(FOLDER) tests/$(FOLDER)
	$(BIN)/mypy --package ipa.$(subst /,.,$(FOLDER)) --package tests.$(subst /,.,$(FOLDER))
	$(BIN)/lint-imports
	$(PYTEST) tests/$(FOLDER)

# On the cluster that KUBECONFIG names, with our image on it (IPA_IMAGE; docs/kubernetes.md). Without, `make test` skips these.
test-cluster: install
	@test -n "$$KUBECONFIG" || { echo 'KUBECONFIG should name a cluster'; exit 2; }
	$(BIN)/pytest -n 3 --dist worksteal -m 'cluster and not alone' tests/live/kubernetes
	$(BIN)/pytest -n 0 -m 'cluster and alone' tests/live/kubernetes

# All that `make test` leaves out: most of the random scenarios, what shows again what another test shows, real servers and
# models; then, one after the other, what measures times or takes all processors.
test-all: install
	$(PYTEST) -m 'long and not alone'
	$(BIN)/pytest -n 0 -m 'long and alone and not cluster'

# Live serving under load for 10 minutes while replicas are killed and all is reconfigured, and 10,000 malformed requests.
soak: install
	$(BIN)/python -m tests.live.serving.soak --seconds 600
	IPA_FUZZ=10000 $(BIN)/pytest -q -n 0 -m '' $(addprefix tests/live/serving/,test_fuzz.py test_fuzz_control.py)

# Faults of all kinds under load for half an hour: on this machine, or with ON=cluster on the one that KUBECONFIG names, or
# with ON=cluster-alone on one that nobody else uses. A seed makes a schedule; that of the day unless SEED says otherwise.
ON ?= loopback
SECONDS ?= 1800
SEED ?= $(shell date -u +%Y%m%d)
chaos: install
	$(BIN)/python -m tests.live.chaos --on $(ON) --seconds $(SECONDS) --seed $(SEED)

# A real V2 server for the tests to put behind the gateway, in an environment of its own; without it they skip that. It
# runs on Python 3.12 at most.
mlserver: $(MLSERVER_INSTALLED)

$(MLSERVER_INSTALLED): requirements-mlserver.lock | $(INSTALLED)
	@test -n "$(MLSERVER_PYTHON)" || { echo 'MLServer needs Python 3.11 or 3.12: make mlserver MLSERVER_PYTHON=...'; exit 2; }
	$(MLSERVER_PYTHON) -m venv .venv-mlserver
	.venv-mlserver/bin/pip install --quiet --require-hashes -r requirements-mlserver.lock
	@touch $@

# The engines against literal simulators, and queueing theory at larger sizes; what intervals over seeds cover: 7 minutes; docs/verification.md explains the tables.
verify: install
	$(BIN)/python -m tests.programs.verification --json build/verification.json

install: $(INSTALLED)

# What the demo needs: the simulator, the compiled engine and reports. Debian ships Python without venv; it is added where
# it is missing. The run compiles the engine, once for all later ones. Modules of packages are compiled when they are
# first imported, which spares the four fifths that the demo does not use.
$(DEMO_INSTALLED): requirements-demo.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python'; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile --require-hashes --no-deps -r requirements-demo.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/ipa simulate video --trace constant:1 --window 0:10 --set engine=compiled --quiet > /dev/null
	@touch $@

# The rest, in the same environment.
$(INSTALLED): requirements.lock $(DEMO_INSTALLED)
	$(BIN)/pip install --quiet --require-hashes --no-deps -r requirements.lock
	@touch $@

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site, from the pages of docs/: build/docs/README.html. A warning is an error. Pages to look up are written first.
docs: install
	$(BIN)/python -m tests.programs.lookup_pages
	$(BIN)/python -m tests.programs.page_sizes
	$(BIN)/sphinx-build -q -W -E -b html docs build/docs

format: install
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# JSON keeps the results.
bench: install
	$(BIN)/python -m tests.programs.benchmarks --json $(JSON)

# Needs uv on the PATH.
mlserver-lock:
	uv pip compile tests/mlserver/requirements.in --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command 'make mlserver-lock' --quiet \
		--output-file requirements-mlserver.lock

# Needs uv on the PATH. One lock for all platforms and Python versions, with hashes, and the part of it that the demo
# needs. Of the wheels of the example ocr only the models are used, not what their programs need.
lock:
	uv pip compile pyproject.toml studies/examples/ocr/requirements.txt studies/examples/chat/requirements.txt \
		--all-extras --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url \
		$(addprefix --no-emit-package ,omegaconf opencv-python opencv-python-headless pyclipper shapely) \
		--custom-compile-command 'make lock' --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --extra compiled --extra report --extra build --constraint requirements.lock --universal \
		--python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command 'make lock' --quiet \
		--output-file requirements-demo.lock

# Needs uv on the PATH; after lock, as it takes over what that has locked: what live/kubernetes/Dockerfile installs.
image-lock:
	uv pip compile pyproject.toml --extra live --extra kubernetes --extra onnx --extra llm --extra s3 --extra build \
		--constraint requirements.lock --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command 'make image-lock' --quiet --output-file requirements-image.lock

clean:
	rm -rf .venv .venv-mlserver build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
