# Everything here works from a bare checkout: Python 3.11 or newer, make, and a package index.
.DEFAULT_GOAL := help
.PHONY: help install install-dev demo demo-check demo-cluster demo-check-cluster test test-cluster services services-fetch law crash crash-cluster bench bench-scale golden golden-check lint format lock clean

KILLS ?= 50
EXAMPLES ?=
ONLY ?=
TESTS ?= tests
GOLDEN ?=
SAMPLE ?= 60
SPRINGLINE_REQUIRE ?= kafka,flink

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-14s %s\n", $$1, $$2}'

.venv: install

install: ## Make .venv with the locked dependencies (done by the others when needed)
	@tools/install.sh requirements.lock

install-dev: ## The same, with what tests need
	@tools/install.sh requirements-dev.lock

demo: install ## Run the blizzard: a live travel assistant over a real database, on a web page
	@.venv/bin/springline demo

demo-check: install ## Prove the demo without a browser: no answer is stale or wrong
	@.venv/bin/python -m springline.demo.check

demo-cluster: install-dev ## The same demo on a Kafka and a Flink of its own (Java 17, Maven)
	@.venv/bin/springline demo --cluster

demo-check-cluster: install-dev ## The same proof there
	@.venv/bin/python -m springline.demo.check --cluster

test: install-dev ## Run all tests (TESTS=tests/unit for some of them)
	@tools/install-browser.sh || true
	@.venv/bin/python -m pytest -m "not cluster" $(TESTS)

test-cluster: install-dev ## Run those with a real Kafka and Flink (Java 17, Maven); SPRINGLINE_REQUIRE= skips what is missing
	@SPRINGLINE_REQUIRE=$(SPRINGLINE_REQUIRE) .venv/bin/python -m pytest tests/cluster --timeout=900

services: install-dev ## Run Kafka and Flink on this machine until Ctrl-C, to try the cluster
	@.venv/bin/python -m springline.testing.services run

services-fetch: install-dev ## Fetch Kafka and Flink into .services (done by the others when needed)
	@.venv/bin/python -m springline.testing.services fetch

law: install-dev ## Random queries over random changes, against SQLite and DuckDB; EXAMPLES=N for each of its tests
	@SPRINGLINE_LAW_EXAMPLES=$(EXAMPLES) .venv/bin/python -m pytest tests/law --timeout=0

crash: install-dev ## Kill the real process KILLS times and count what was lost or doubled
	@.venv/bin/python -m tests.crash.run --kills $(KILLS)

crash-cluster: install-dev ## Kill each part of a cluster in turn, KILLS times, and count what was lost, doubled, stale or mixed
	@.venv/bin/python -m tests.cluster.crash --kills $(KILLS)

bench: install-dev ## Measure beside the peers, on one core; ONLY=w1,w2,w3,w6,nexmark for some parts
	@.venv/bin/python -m bench $(ONLY)

bench-scale: install-dev ## Measure what a change costs on Kafka and Flink, with 1, 2 and 4 subtasks
	@.venv/bin/python -m bench.scale

golden: install-dev ## Fill tests/golden/tables from a real Flink in batch mode (GOLDEN=--new for new lines only)
	@.venv/bin/python -m tests.golden.flink $(GOLDEN)

golden-check: install-dev ## Evaluate a sample of the golden tables anew in Flink and compare (SAMPLE=60)
	@.venv/bin/python -m tests.golden.flink --check $(SAMPLE)

lint: install-dev ## Style, format, types and import direction
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/basedpyright
	@.venv/bin/lint-imports

format: install-dev ## Format the code
	@.venv/bin/ruff check --fix --select I .
	@.venv/bin/ruff format .

# --no-config and the emptied variables keep a builder's own indexes and wheel folders out of the locks.
UV = env -u UV_INDEX_URL -u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS .venv/bin/uv --no-config
COMPILE = $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --group build

lock: install-dev ## Write the lock files again (UPGRADE=--upgrade for newer versions)
	@$(COMPILE) --extra demo $(UPGRADE) --output-file requirements.lock
	@$(COMPILE) --extra demo $(UPGRADE) --group dev --constraint requirements.lock --output-file requirements-dev.lock
	@$(COMPILE) --extra cluster $(UPGRADE) --constraint requirements-dev.lock --output-file deploy/requirements.lock

clean: ## Remove .venv, caches and the demo's data
	@rm -rf .venv .demo .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
