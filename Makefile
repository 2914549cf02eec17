# `make check` is the whole truth in one command. PYTHON is the environment's interpreter, as README's commands make it.
PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)

.PHONY: help check lint types test bench fuzz format schema readme

help:  ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

check: lint types test  ## format, lint, types, tests with doctests

lint:  ## format and lint, nothing changed
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

types:  ## static types
	$(PYTHON) -m mypy

test:  ## every test and doctest but the benchmarks
	$(PYTHON) -m pytest

bench:  ## the speed claims, with the peer in the same run
	$(PYTHON) -m pytest tests/benchmarks -o addopts="--import-mode=importlib -p no:cacheprovider" -s

fuzz:  ## 20,000 mutants of sound files for each checkpoint reader; READER=onnx MUTANTS=500 SEED=2 for others
	$(PYTHON) -m tests.fuzz --reader $(or $(READER),all) --mutants $(or $(MUTANTS),20000) --seed $(or $(SEED),1)

format:  ## rewrite the files
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

schema:  ## write the JSON Schemas anew from the columns
	$(PYTHON) -m qanalysis.reports.schemas

readme:  ## remake README's tables, story and pictures
	$(PYTHON) -m tests.readme
