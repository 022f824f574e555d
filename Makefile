# make demo    a gated preview of the quickstart on a sandbox, from a bare clone
# make test    all tests
# Both install what they need: Python packages into .venv, an engine into the user's cache folder.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := environment
.PHONY: environment engine demo test lint format bench clean

environment: .venv/.ready

# Made anew, too, where the Python that it was made with is gone: an upgrade of the system's removes it.
.PHONY: no-python
.venv/.ready: pyproject.toml tests/requirements.txt tests/constraints.txt $(shell $(BIN)/python -c '' 2>/dev/null || echo no-python)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
		version=$$($(PYTHON) -c 'import sys; print(sys.version.split()[0])' 2>/dev/null || echo "not there"); \
		echo "pulumi-ampersand needs Python 3.10 or newer, and $(PYTHON) is $$version." >&2; \
		echo "Install one, https://www.python.org/downloads/, or name the one you have: $(strip make $(MAKECMDGOALS) PYTHON=python3.12)" >&2; exit 1; }
	@echo "Installing Python packages into .venv (a minute)..." >&2
	@# venv leaves links that are there as they are, whatever Python they lead to.
	@test "$$($(BIN)/python --version 2>&1)" = "$$($(PYTHON) --version 2>&1)" || rm -f $(BIN)/python*
	@$(PYTHON) -m venv .venv
	@PIP_RETRIES=$${PIP_RETRIES:-2} $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint tests/constraints.txt --requirement tests/requirements.txt --editable '.[sandbox,html]' || { \
		echo "The Python packages were not installed; pip says above why. It needs an index of packages that it can reach:" >&2; \
		echo "pypi.org, if need be by HTTPS_PROXY, or one of your own by PIP_INDEX_URL. Then run the same again." >&2; exit 1; }
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

# Branch coverage of the product by the tests that need no engine, the commands' own processes included.
.PHONY: coverage
coverage: environment
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest --numprocesses auto --dist loadfile -m "not engine" $(ARGS)
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report

clean:
	rm -rf .coverage .coverage.* .venv .pytest_cache .mypy_cache .ruff_cache
