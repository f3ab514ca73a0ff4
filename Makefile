# What people do with a checkout. Each target brings .venv up to date first; see scripts/bootstrap.

PYTHON := .venv/bin/python
JOBS ?= 2
TESTS ?= tests
SYSTEM_TESTS ?= tests/system
# A machine that is emulated waits half of the time, so two processors carry three.
SYSTEM_JOBS ?= 3
PYTEST_OPTIONS ?=

.DEFAULT_GOAL := help
.PHONY: help venv demo run test test-system deb wheel lint bench lock upgrade ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: ## make .venv, with what the node, the tests and the linters need
	@scripts/bootstrap dev

demo: ## start a node under ./demo, show what it does, and stop it
	@scripts/bootstrap run
	@$(PYTHON) scripts/demo.py

run: ## the same node, left running until Ctrl-C
	@scripts/bootstrap run
	@$(PYTHON) scripts/demo.py --keep-running

test: venv ## run the tests (TESTS=path, JOBS=n, PYTEST_OPTIONS=...)
	@scripts/debian-packages
	@scripts/node-packages
	$(PYTHON) -m pytest -n $(JOBS) --dist loadfile $(PYTEST_OPTIONS) $(TESTS)

test-system: venv deb ## run the tests on whole machines: the package on a bare Debian (as root; SYSTEM_TESTS=path, SYSTEM_JOBS=n)
	@scripts/debian-packages
	@scripts/debian-packages debian-packages-system.txt
	KHOSO_DEB=$${KHOSO_DEB:-$$(ls -t $(CURDIR)/dist/khoso_*.deb | head -n 1)} KHOSO_SYSTEM=1 KHOSO_REQUIRE_TOOLS=1 \
		$(PYTHON) -m pytest -p no:cacheprovider -n $(SYSTEM_JOBS) --dist loadfile --no-loadscope-reorder \
		$(PYTEST_OPTIONS) $(SYSTEM_TESTS)

deb: ## make dist/khoso_<version>_<architecture>.deb
	@scripts/bootstrap run
	@$(PYTHON) packaging/build.py

wheel: venv ## make dist/khoso-<version>-py3-none-any.whl, for what is no Debian
	@$(PYTHON) packaging/wheel.py

lint: venv ## ruff, mypy, and the direction of imports
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/mypy scripts
	.venv/bin/lint-imports --no-cache

bench: venv ## run the benchmarks, side by side with peers
	$(PYTHON) benchmarks/run.py

lock: ## write the locks from pyproject.toml; pins that still fit stay
	@scripts/bootstrap lock

upgrade: ## write the locks with the newest versions
	@scripts/bootstrap upgrade

ci: ## what .ci/run does
	bash .ci/run

clean: ## remove all that can be made again, .venv too
	rm -rf .venv .cache build dist demo bench-results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
