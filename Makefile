# make demo    a gated preview of the quickstart on a sandbox, from a bare clone
# make test    all tests
# Both install what they need: Python packages into .venv, an engine into the user's cache folder.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := environment
.PHONY: environment engine demo test lint format bench clean

environment: .venv/.ready

.venv/.ready: pyproject.toml tests/requirements.txt tests/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "pulumi-ampersand needs Python 3.10 or newer; run: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing Python packages into .venv (a minute)..." >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint tests/constraints.txt --requirement tests/requirements.txt --editable '.[sandbox,html]'
	@touch $@

# Finds or makes a Pulumi engine and prints its folder; does nothing when there is one.
engine: environment
	@$(BIN)/python tests/engine/provision.py

demo: environment
	@engine=$$($(BIN)/python tests/engine/provision.py) && $(BIN)/python examples/demo.py "$$engine"

test: environment engine
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

lint: environment
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: environment
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: environment
	@engine=$$($(BIN)/python tests/engine/provision.py) && $(BIN)/python tests/bench.py "$$engine"

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
