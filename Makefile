# `make train` and `make test` work from a clean clone; `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
# Options for the command that is run: make train ARGS="--epochs 5"; make test PYTEST_ARGS="-k grid"
ARGS ?=
PYTEST_ARGS ?=
# Each test worker imports torch (seconds, hundreds of MB), so few of them beat one per core.
WORKERS ?= 2

BIN := $(VENV)/bin
# Two stamps, for what is needed to run and to develop: training does not wait for the test tools,
# and going from one to the other installs only the difference.
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
# Two pips in one environment would spoil it, so -j must not run the installs at the same time.
.NOTPARALLEL:
.PHONY: help train test lint format types pytest cuda benchmarks clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

train: $(RUN_STAMP) ## train a model: make train ARGS="--help"
	$(BIN)/dhm train $(ARGS)

test: lint types pytest ## style, types, tests and the examples in docstrings

lint: $(DEV_STAMP) ## check style and formatting
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .

types: $(DEV_STAMP) ## check types
	$(BIN)/mypy --no-error-summary src/dhm $(wildcard benchmarks)

# One thread a worker: torch would start one per core in each of them, and they would fight.
# On the CPU, where runs repeat bit for bit, also where there is a GPU.
pytest: $(DEV_STAMP) ## run the tests alone: make pytest PYTEST_ARGS="-k grid"
	OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES= $(BIN)/pytest -q -n $(WORKERS) $(PYTEST_ARGS)

cuda: $(DEV_STAMP) ## run the tests of what is computed on a GPU, where there is one
	$(BIN)/pytest -q $(PYTEST_ARGS) $(wildcard tests/test_cuda.py tests/*/test_cuda.py)

format: $(DEV_STAMP) ## format the code and fix what can be fixed
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

benchmarks: $(RUN_STAMP) ## print how the published numbers are produced
	@echo "Each script produces one table of the README and keeps its results beside it. Run one with"
	@echo "its --help to see how long it takes:"
	@$(foreach script,$(sort $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py))),echo "    $(BIN)/python $(script)";)

clean: ## remove caches and build products; keeps the environment and runs/
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
	find src tests $(wildcard benchmarks) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## clean, and remove the environment
	rm -rf $(VENV)

# $(call install,WHAT): pip exists last in a new environment, so a half-made one is made again.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is \
	needed and $(PYTHON) is %d.%d: make PYTHON=python3.11 ..." % sys.version_info[:2])'
	@test -x $(BIN)/pip || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing $(1) into $(VENV) (minutes the first time)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '$(1)'
endef

$(RUN_STAMP): pyproject.toml constraints.txt
	$(call install,.)
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt
	$(call install,.[dev])
	@touch $(RUN_STAMP) $@
