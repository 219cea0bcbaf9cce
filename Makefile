# Everything a person does with a checkout. `make help` lists it.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.complete
QUICK := not slow and not crash and not live
# Much of a test is waiting for processes: two workers more than there are cores. A file stays in
# one worker, with what it has built.
WORKERS = $(shell $(PYTHON) -c 'import os; print(min(8, (os.cpu_count() or 1) + 2))')
SPREAD = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
PROGRAMS := $(patsubst %/program.toml,%,$(wildcard jobs/*/program.toml))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all check bench clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP)  ## make .venv and install what is missing (openssh-server by apt where allowed)
	@sh infra/setup.sh sshd

$(STAMP): pyproject.toml infra/setup.sh infra/pip_to_uv.py
	@sh infra/setup.sh environment $(PYTHON)
	@touch $@

demo: setup  ## rent, train, bring home and give back on a simulated cloud on this computer
	@$(BIN)/python -m infra.demo

test: setup  ## the quick tests: minutes (ARGS="-k word" is passed to pytest)
	@$(BIN)/python -m pytest $(SPREAD) -m "$(QUICK)" $(ARGS)

test-all: setup  ## every test that costs no money: the crash suites and real training too
	@$(BIN)/python -m pytest $(SPREAD) -m "not live" $(ARGS)

check: setup  ## lint, format, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@for program in $(PROGRAMS); do \
	  echo "$(BIN)/mypy $$program"; \
	  MYPYPATH=jobs $(BIN)/mypy --allow-subclassing-any "$$program" jobs/training || exit 1; \
	done
	$(BIN)/lint-imports

bench: setup  ## figures as ratios to a yardstick in the same run, one markdown table
	@$(BIN)/python -m tests.benchmarks

clean:  ## remove the environment, caches and the demo's folder
	rm -rf .venv .demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
