# make run: a demonstration to try with curl.   make test: every test.
# make lint: style and types.                   make clean: away with all that was made here.

.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$each $(NEW_ENOUGH) 2>/dev/null; then echo $$each; break; fi; done)

.PHONY: help run test lint clean

help:
	@sed -n '1,2s/^# //p' Makefile

run: $(INSTALLED)
	@$(BIN)/python -m mtlsedge.demo $(ARGS)

# make test ARGS="-k resumption" runs some of them; make run ARGS=--help says what that takes.
test: $(INSTALLED)
	$(BIN)/python -m pytest $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist demo *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed once, and again only when what is needed has changed: nothing is asked of the network
# in between.
$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "mtlsedge needs Python 3.11 or newer"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(INSTALLED)
