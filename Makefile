# Each command sets itself up: it needs Python >= 3.11, make, and a network at its first run.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input
LOCK := requirements/dev.lock
# One mark per content of the lock, place and Python: set-up is done again when one of them changes.
READY := $(VENV)/ready-$(shell (echo "$(CURDIR) $(PYTHON)"; cat $(LOCK)) | cksum | cut -d ' ' -f 1)

.PHONY: help demo test torture check bench bench-full

help:
	@echo "make demo    shows an alert come in, a fault repaired and a pager told; ARGS=--once ends after the story"
	@echo "make test    runs the tests on all cores; ARGS='tests/rules -k queue' picks some of them"
	@echo "make torture kills processes and servers in the middle of fixes and under load, hundreds of times; takes an hour and wants the machine alone"
	@echo "make bench   measures ours against the floor in five minutes, and writes docs/benchmarks.md; ARGS='storm pages' prints some"
	@echo "make bench-full  measures the tables at size and the peers, too; takes half an hour and 12 GB of disk"
	@echo "make check   looks at format, lint, types, layers and dependencies, one line for each"

demo: $(READY)
	@$(BIN)/responder demo $(ARGS)

test: $(READY)
	@$(BIN)/python -m pytest -n auto $(ARGS)

torture: $(READY)
	@TORTURE=200 $(BIN)/python -m pytest -n 0 -v tests/faults tests/processes/test_overload.py $(ARGS)

bench: $(READY)
	@$(BIN)/python -m bench --report $(ARGS)

bench-full: $(READY)
	@$(BIN)/python -m bench --full --report $(ARGS)

check: $(READY)
	@failed=0; \
	step() { \
	    name=$$1; shift; \
	    if said=$$("$$@" 2>&1); then echo "$$name: ok"; \
	    else failed=1; printf '%s: FAILED\n%s\n' "$$name" "$$said"; fi; \
	}; \
	step format $(BIN)/ruff format --check .; \
	step lint $(BIN)/ruff check .; \
	step types $(BIN)/mypy; \
	step layers $(BIN)/lint-imports --no-logo; \
	step dependencies $(BIN)/deptry --no-ansi responder bench; \
	exit $$failed

$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$(PYTHON) is missing or older than 3.11. Name another one: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up $(VENV), once: downloading about 60 MB of packages, PostgreSQL among them ..."
	@$(PYTHON) -m venv --clear $(VENV) || { \
	    echo "$(PYTHON) cannot make a virtual environment. On Debian: apt-get install python3-venv"; exit 1; }
	@$(INSTALL) --require-hashes --no-deps -r $(LOCK)
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@
