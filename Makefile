# Each target creates what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test check bench docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

demo: $(STAMP) ## diagnose the incidents shipped with meshdoctor
	@$(BIN)/meshdoctor demo

# Rulings and ranking are what people act on: 95 of 100 of their lines are run by a test.
COVERED := --cov=meshdoctor.mesh --cov=meshdoctor.engine --cov-report= --cov-fail-under=95

test: $(STAMP) ## run the tests
	@$(BIN)/python -m pytest $(COVERED)

check: $(STAMP) ## every check the project keeps, but the tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/meshdoctor playbook lint
	@$(BIN)/meshdoctor playbook test --mutate
	@$(BIN)/python -m meshdoctor.cli.docs --check

bench: $(STAMP) ## measure time and memory on a large recorded mesh
	@$(BIN)/python -m tests.bench

docs: $(STAMP) ## write the generated pages again
	@$(BIN)/python -m meshdoctor.cli.docs

clean: ## remove what the targets made
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .coverage

LAB_PYTHON := $(BIN)/python
include tests/lab/lab.mk
lab-build lab-up lab-down lab-status lab-test lab-environment lab-readonly lab-differential lab-ci bench-live: $(STAMP)
