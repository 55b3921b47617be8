# Every target that needs Python packages uses this checkout's own .venv, made on first use and
# brought up to date only when pyproject.toml has changed.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
DRIVEN := $(VENV)/.browser

.DEFAULT_GOAL := help
.PHONY: help demo test test-browser test-spark fuzz format bench soak clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

demo: $(READY) ## run the service and a sandbox EHR on loopback, with synthetic patients
	@$(BIN)/cds-service demo

test: $(READY) ## check format, lint, types, imports, and run every test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q -n 2

test-browser: $(DRIVEN) ## try every page in the Chromium of this machine
	$(BIN)/python -m pytest -q -n 2 tests/browser

test-spark: $(READY) ## install PySpark and compare the two engines of screening
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev,spark]'
	$(BIN)/python -m pytest -q tests/test_screen_spark.py

fuzz: $(READY) ## fuzz the service for some minutes, from its OpenAPI document and broken charts
	FUZZ_EXAMPLES=2000 $(BIN)/python -m pytest -q -n 2 tests/test_fuzz.py

format: $(READY) ## format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## measure answers, calls, a process and a population
	$(BIN)/python -m tests.benchmarks.bench
	$(BIN)/python -m tests.benchmarks.bulk

soak: $(READY) ## load two servers for a minute while database, FHIR server and workers fail
	$(BIN)/python -m tests.soak

clean: ## remove .venv, caches and build output
	rm -rf $(VENV) build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

# pip's -qq hides its warnings (such as a configured file:// index that is not there), not its errors.
$(READY): pyproject.toml
	@command -v $(firstword $(PYTHON)) >/dev/null || \
	  { echo "make: Python 3.11 or newer is needed, but $(PYTHON) was not found (make PYTHON=/path/to/python3)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: Python 3.11 or newer is needed, but $(PYTHON) is $$($(PYTHON) -V 2>&1) (make PYTHON=python3.12)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev]'
	@touch $@

$(DRIVEN): $(READY)
	@echo "Installing what drives a browser into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev,browser]'
	@touch $@
