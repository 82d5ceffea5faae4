# Everything runs in .venv, made on first use and again when pyproject.toml or constraints.txt change.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=
# Processes side by side, for the tests and the smoke runs; JOBS=0 runs the tests in one.
# (nproc itself would count the threads that OMP_NUM_THREADS allows.)
JOBS   ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || sysctl -n hw.ncpu)
ARRAY  ?= twin

# One target for every benchmark; its first line is what `make help` prints.
MEASURES := $(sort $(patsubst benchmarks/measure_%.py,measure-%,$(wildcard benchmarks/measure_*.py)))

# The tests start hundreds of processes; without byte code on disk each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: help env demo test test-bare style types layers loops check docs smoke mutants clean $(MEASURES)

help:
	@echo "make demo [ARGS=...]   train, deploy on the twin, verify, report"
	@echo "make demo ARRAY=KIND   the same through the driver of supert-a0 or scpi, to a virtual instrument"
	@echo "make test [ARGS=...]   the tests"
	@echo "make test-bare         the tests where nothing of POSIX is to be had, as on Windows"
	@echo "make check             ruff, mypy, import layers, tests: what CI runs"
	@echo "make mutants           small bugs in a copy of the code, and whether the tests see them (hours)"
	@echo "make docs              the documentation as a site in build/site"
	@sed -sn '1s/^"""\(make measure-[a-z0-9]*\): \(.*\)"*$$/\1|\2/p' benchmarks/measure_*.py | tr -d '"' | sed "s/\.*$$//" | awk -F"|" '{printf "%-22s %s\n", $$1, $$2}'
	@echo "make smoke             every make measure-... at its smallest sizes, no figure judged"
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
	$(BIN)/python -m pip install --quiet --no-compile --no-build-isolation -c constraints.txt -e ".[train,plot,tables,web,fast,scale,docs,dev,mutants,notebook,peers]"
	@touch $@

demo: $(STAMP)
	$(BIN)/imssa demo $(if $(filter twin,$(ARRAY)),,--virtual $(ARRAY)) $(ARGS)

# The tests of one file stay together: they share fixtures.
test: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

# Modules and functions that Windows lacks are refused; see trials/refusals.
test-bare: $(STAMP)
	REFUSED=posix PYTHONPATH=trials/refusals:$$PYTHONPATH $(BIN)/python -m pytest -rs $(ARGS)

# What of it CI has the time for: a second passage of the tests that the refusal concerns most.
BARE_TESTS := tests/log/test_record.py tests/log/test_kill.py tests/log/test_replay.py tests/log/test_shared_chunks.py \
  tests/drivers/test_visa_traps.py

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Each in one process, and none needs another.
style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

# What most processes need compiled, so that the smoke runs, two at a time, do not compile the same twice.
loops: $(STAMP)
	$(BIN)/python -m benchmarks.measure_deploy --smoke --only levels

check: $(STAMP)
	$(MAKE) -j4 style types layers loops
	$(MAKE) smoke
	$(MAKE) test $(if $(COVERAGE),ARGS=--cov)
	$(MAKE) test-bare ARGS="$(BARE_TESTS)"

$(MEASURES): measure-%: $(STAMP)
	$(BIN)/python -m benchmarks.measure_$* $(ARGS)

mutants: $(STAMP)
	$(BIN)/python -m benchmarks.mutants.run_mutants --whole $(ARGS)

smoke: $(STAMP)
	@printf '%s\n' $(MEASURES:measure-%=%) | xargs -P $(JOBS) -I NAME sh -c \
	  'said=$$($(BIN)/python -m benchmarks.measure_NAME --smoke 2>&1); ended=$$?; \
	  printf "== measure-NAME\n%s\n" "$$said"; exit $$((ended != 0))'

clean:
	rm -rf $(VENV) build dist *.egg-info .make
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
