# Every target runs in its own environment (.venv), installed once and again when the pins change.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
JOBS   ?= 2
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-ligo demo-progressive test test-full evidence lint types imports fmt bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

venv: $(STAMP) ## make .venv and install growplan with everything its tests need

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "growplan needs Python 3.11 or newer; try: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "installing growplan, torch and transformers (once; a few minutes on a slow line) ..."
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP) ## grow a real model (all-MiniLM-L6-v2) twice and show what happened
	@$(BIN)/python examples/minilm/demo.py

demo-ligo: $(STAMP) ## train a small GPT-2, grow it by fitted operators, compare losses (a few minutes)
	@$(BIN)/python examples/ligo/demo.py

demo-progressive: $(STAMP) ## train a small GPT-2 while it grows, by MSG and by MSLT, and draw the losses
	@$(BIN)/python examples/progressive/demo.py

test: $(STAMP) ## every exact fact, in minutes (ARGS="-k norm" narrows)
	$(BIN)/python -m pytest -q -n $(JOBS) $(ARGS)

test-full: $(STAMP) ## the whole family x method x size matrix and the larger real models
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not evidence" $(ARGS)

evidence: $(STAMP) ## what trains a model or needs several seeds
	$(BIN)/python -m pytest -q -n $(JOBS) -m evidence $(ARGS)

lint: $(STAMP) ## ruff: style and layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

imports: $(STAMP) ## the layers of docs/architecture.md
	$(BIN)/lint-imports

fmt: $(STAMP) ## let ruff fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## time `check`, `apply`, and a step of a fit
	$(BIN)/python benchmarks/check_time.py
	$(BIN)/python benchmarks/apply_throughput.py
	$(BIN)/python benchmarks/fit_step.py

clean: ## remove .venv, caches, and the models of the examples
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf examples/*/model examples/*/out
