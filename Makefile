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

# All benchmarks as one table, in less than 20 minutes; ARGS=--write keeps it as BENCHMARKS.md, ARGS=--quick only tries them.
bench: environment
	@$(BIN)/python tests/bench.py $(ARGS)

# Mutation testing: changes the rules and what judges by them in a thousand places, one at a time, and shows the changes that
# no test notices. A quarter of an hour; ARGS='*token_expiry*' for some. It works on a copy, with a tool of its own.
.PHONY: mutants
MUTANTS := .venv/mutants
mutants: environment
	@test -d $(MUTANTS)/mutmut-3.8.1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint tests/constraints.txt --target $(MUTANTS)/mutmut-3.8.1 mutmut==3.8.1
	@rm -rf $(MUTANTS)/tree && mkdir -p $(MUTANTS)/tree && cp -R policies/pulumi_ampersand_policies tests pyproject.toml $(MUTANTS)/tree
	@# mutmut leaves functions with decorators as they are: without its cache this one is no slower to test.
	@sed '/^@lru_cache/d' policies/pulumi_ampersand_policies/glob.py > $(MUTANTS)/tree/pulumi_ampersand_policies/glob.py
	@cd $(MUTANTS)/tree && export PYTHONPATH=../mutmut-3.8.1 && mutmut="../../bin/python -m mutmut" && \
		$$mutmut run $(ARGS) && $$mutmut results | sed -n 's/: survived$$//p; s/: timeout$$//p; s/: no tests$$//p' | \
		while read -r name; do $$mutmut show "$$name"; done

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
