# From nothing but Python, make and git:
#   make run     set up, then run the main job on the embedded corpus; says where its report is
#   make test    set up, then run the tests
#   make check   set up, then format, lint, types and import contracts
#   make figures-small   set up, then a tiny version of every figure, from nothing, in build/
# Set-up happens in .venv, once, and again when pyproject.toml or constraints.txt change.
# Another interpreter: make install PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Named exactly and first: left to an open range, pip takes the newest torch, which on a machine
# without a GPU still brings gigabytes of GPU packages.
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: run test check figures-small install

run: install
	$(BIN)/veiltune run jobs/veiltune_jobs/specs/headlines.yaml

test: install
	$(BIN)/python -m pytest

check: install
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo

figures-small: install
	$(BIN)/veiltune reproduce all --small --records build/runs --output build/figures

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)])' 2>/dev/null || { \
	  echo "veiltune needs Python 3.11 or 3.12, got $$($(PYTHON) --version 2>/dev/null || echo no $(PYTHON));" \
	    "name one that is installed, as in: make install PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
	  --build-constraint constraints.txt --editable . --group dev
	@touch $@
