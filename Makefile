# Everything runs in .venv, made on first use and again when pyproject.toml or constraints.txt change.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=
ARRAY  ?= twin

.DELETE_ON_ERROR:
.PHONY: help env demo test check docs measure-loop measure-s4d measure-twin measure-record measure-wires measure-deploy measure-speed measure-bench mutants clean

help:
	@echo "make demo [ARGS=...]   train, deploy on the twin, verify, report"
	@echo "make demo ARRAY=KIND   the same through the driver of supert-a0 or scpi, to a virtual instrument"
	@echo "make test [ARGS=...]   the tests"
	@echo "make check             ruff, mypy, import layers, tests: what CI runs"
	@echo "make measure-loop      every bar of the whole loop, measured beside required"
	@echo "make measure-s4d       the same for models, quantisation and tasks (needs speech data, 25 minutes)"
	@echo "make measure-twin      the same for the twin's physics and its fits (needs measured data)"
	@echo "make measure-record    the same for the log (20 minutes)"
	@echo "make measure-wires     the same for instruments on wires (40 minutes)"
	@echo "make measure-bench     the same for bench, pages and documentation (20 minutes)"
	@echo "make measure-deploy    the same for programming and deployment (needs speech data, hours)"
	@echo "make mutants           small bugs in a copy of the code, and whether the tests see them (hours)"
	@echo "make docs              the documentation as a site in build/site"
	@echo "make measure-speed     the same for speed, as ratios to what the machine can do (one thread; keep it idle)"
	@echo "make env               only make the environment in $(VENV)"
	@echo "make clean             remove the environment and all caches"

env: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "imssa_lab needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo nowhere to be found)."; \
	  echo "Name another one: make PYTHON=python3.12 ..."; exit 1; } >&2
	$(PYTHON) -m venv $(VENV)

# setuptools comes first and builds without isolation, so that the build backend is pinned too.
# $(BIN)/python is order-only: its time stamp is that of the interpreter it links to.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt setuptools
	$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e ".[train,plot,tables,web,fast,scale,docs,dev,mutants]"
	@touch $@

demo: $(STAMP)
	$(BIN)/imssa demo $(if $(filter twin,$(ARRAY)),,--virtual $(ARRAY)) $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

measure-loop measure-s4d measure-twin measure-record measure-wires measure-deploy measure-speed measure-bench: measure-%: $(STAMP)
	$(BIN)/python -m benchmarks.measure_$* $(ARGS)

mutants: $(STAMP)
	$(BIN)/python -m benchmarks.mutants.run_mutants --whole $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .make
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
