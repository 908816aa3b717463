# SPDX-License-Identifier: BSD-2-Clause
# `make test` sets up the environment by itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help test lint clean

help:
	@echo "make test    check the style and run the tests"
	@echo "make lint    check the style"
	@echo "make clean   remove what was built"

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable ".[sim,boards,test]"
	touch $@

lint: $(VENV)/installed
	$(BIN)/ruff check .

test: lint
	$(BIN)/pytest

clean:
	rm -rf build
