# penstock: `make demo` shows the main job, `make test` proves it. Both set up all they need in .venv.
# Every target is idempotent. Needs python >= 3.11 with venv, and git; everything else comes from the lock files.
# Where ffmpeg and ffprobe are installed (Debian: apt-get install ffmpeg), they judge media beside the ffmpeg of a wheel.

SHELL  := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
JOBS   ?= 2
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: help demo test torture lint types bench docs lock clean setup
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1	/' | expand -t 16

setup: $(READY)  ## create .venv with the locked dependencies

$(READY): requirements/dev.txt pyproject.toml
	@scripts/check_python.sh "$(PYTHON)"
	@echo "==> virtual environment in $(VENV)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@echo "==> installing locked dependencies (a minute or two the first time)"
	@$(PIP) install --quiet --require-hashes -r requirements/dev.txt \
	  || { echo "error: the dependencies did not install; is a package index reachable? (pip config list)" >&2; exit 1; }
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY)  ## text -> speech -> Ogg/Opus -> object on the local store, shown and verified
	@$(BIN)/python scripts/demo.py

test: $(READY)  ## all tests; starts the real servers they need
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

torture: $(READY)  ## kill -9 at random moments; KILLS=200 SEED=random MINUTES=15 STREAMS=3 OUTAGE=10
	@cd tests && ../$(BIN)/python -m torture --kills $(or $(KILLS),200) --minutes $(or $(MINUTES),15) \
	  --streams $(or $(STREAMS),3) --outage $(or $(OUTAGE),10) $(if $(SEED),--seed $(SEED))

lint: $(READY)  ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY)  ## mypy --strict
	@$(BIN)/mypy

bench: $(READY)  ## the figures of docs/benchmarks.md (installs the peers into .venv-bench)
	@scripts/bench.sh "$(PYTHON)"

docs: $(READY)  ## regenerate docs/nodes/, docs/cli.md and docs/store-answers.md from the code
	@$(BIN)/python scripts/generate_docs.py

lock: $(READY)  ## refresh requirements/*.txt: hashes, no URL
	@scripts/lock.sh $(BIN)/uv

clean:  ## remove the environments and everything built
	rm -rf $(VENV) .venv-bench build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
