# Everything a newcomer needs: each target sets up what it needs, once.
#   make demo       the whole story on the embedded demo set (base install, no torch)
#   make test       the tests (adds torch, timm and the test tools: 5.5 GB)
#   make check      ruff, strict types, import floors
#   make test-slow  the tests that take minutes
#   make size       what the base install takes
#   make bench      the benchmarks of Foveal itself; peers: see benchmarks/README.md
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: setup demo test test-slow check format size bench clean
.DEFAULT_GOAL := setup

.venv/made:
	$(PYTHON) -m venv .venv
	touch $@

# The base install: what `pip install foveal` gives.
.venv/base: .venv/made pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

# With [train] and the tools to develop Foveal.
.venv/dev: .venv/base
	$(PIP) --editable '.[train,dev]'
	touch $@

# A second environment with the base install alone: the tests run the whole story in it.
.venv-base/base: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-base
	.venv-base/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable .
	touch $@

setup: .venv/dev

demo: .venv/base
	$(BIN)/foveal demo --overwrite

test: .venv/dev .venv-base/base
	$(BIN)/pytest -m "not slow"

test-slow: .venv/dev
	$(BIN)/pytest -m slow

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

size: .venv/made
	$(BIN)/python benchmarks/install_size.py

bench: .venv/dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache demo
