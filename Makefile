# Each target does its own set-up. Needs Python 3.11 or newer and make; nothing is installed outside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
PROTOS := $(shell find protos third_party -name '*.proto')

.PHONY: setup demo test check proto fmt lock image

setup: $(VENV)/.done

.boot/bin/uv:
	$(PYTHON) -m venv .boot
	.boot/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8

$(VENV)/.done: .boot/bin/uv requirements.lock pyproject.toml hatch_build.py $(PROTOS)
	.boot/bin/uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	.boot/bin/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	PATH="$(BIN):$$PATH" .boot/bin/uv pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps --editable .
	@touch $@

demo: setup  ## bill a month of usage, from events to paid invoices
	$(BIN)/weir demo

test: setup check  ## everything CI runs
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: setup  ## static checks: style, types, imports, contracts
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/python -m tests.contracts.breaking

proto: setup  ## regenerate the stubs and the catalog schema after editing protos/
	PATH="$(BIN):$$PATH" $(BIN)/python hatch_build.py
	$(BIN)/python -m cli.catalog.schema
	$(BIN)/python -m cli.scenario.schema

fmt: setup
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

lock: .boot/bin/uv  ## renew the lock files after editing pyproject.toml
	.boot/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --all-extras pyproject.toml -o requirements.lock
	.boot/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --extra connectors pyproject.toml -o deploy/requirements.lock

image: setup
	docker build --tag weir:$$($(BIN)/python -c 'from importlib.metadata import version; print(version("weir"))') .
