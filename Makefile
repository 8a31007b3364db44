# Everything a person does with a checkout. Only GNU make and Python 3.11+ with venv are assumed.
PY := .venv/bin/python

.PHONY: help run test check bench lock fmt setup setup-dev
.DEFAULT_GOAL := help

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A plain command line, so that make starts it without a shell between: signals reach it.
run: export DEMO = 1
run: setup ## start everything here, with demo data; Ctrl-C stops it
	@$(PY) manage.py up

test: setup-dev ## the whole suite
	@scripts/browser
	@$(PY) -m pytest

check: setup-dev ## formatting, lint, types, contracts, Django checks, fast tests
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m ruff check --quiet .
	@$(PY) -m mypy .
	@.venv/bin/lint-imports
	@DJANGO_SETTINGS_MODULE=tests.settings $(PY) manage.py check
	@DJANGO_SETTINGS_MODULE=tests.settings $(PY) manage.py makemigrations --check --dry-run
	@$(PY) -m pytest -q tests/unit tests/rules

bench: setup-dev ## the benchmark suite; one table of ratios
	@$(PY) -m scripts.bench

fmt: setup-dev ## format, and fix what lint can fix
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lock: setup-dev ## redo both lock files from requirements*.in
	@scripts/lock

setup:
	@scripts/setup

setup-dev:
	@scripts/setup dev
