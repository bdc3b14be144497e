# `make setup` once, then `make run`; `make` alone lists everything.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The newest that runs: a name on the PATH may be a shim of a version that is not installed.
IS_PYTHON := -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python $(IS_PYTHON) 2>/dev/null && echo $$python && break; done)
UV_VERSION := 0.13.9
BIN := .venv/bin
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
# A manifest names databases: each target has its own.
TARGET := target$(if $(filter-out duckdb,$(DBT_TARGET)),/$(DBT_TARGET))

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: .venv/.ready profiles.yml demo/landing $(TARGET)/manifest.json ## Make .venv, profiles.yml, the demo data and dbt's manifest; again whenever a model is added
	@$(if $(filter setup,$(MAKECMDGOALS)),echo "Ready. Type 'make run' for daily sales by a real Airflow; 'make' lists every command.",:)

.venv/bin/uv:
	@$(or $(PYTHON),false) $(IS_PYTHON) 2>/dev/null || { echo "Python 3.11, 3.12 or 3.13 is needed; found $$($(or $(PYTHON),python3) --version 2>&1). Install one, or set PYTHON=/path/to/python3.13."; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version), $$(command -v $(PYTHON))."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# Bytecode is compiled once here rather than by every process that cannot write it.
.venv/.ready: .venv/bin/uv requirements-dev.txt pyproject.toml
	$(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode requirements-dev.txt
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The path in full: dbt parses anew whenever it differs from that of the last command.
profiles.yml: profiles.yml.example
	sed "s|'warehouse.duckdb'|'$(CURDIR)/warehouse.duckdb'|" $< > $@

demo/landing: .venv/.ready orchestration/local/demos/sales_files.py orchestration/local/demos/table_files.py
	$(BIN)/python -m orchestration.local.demos.files $@
	@touch $@

# Folders too: what is removed leaves its folder changed.
DBT_FILES := $(shell find models macros seeds tests/dbt packages -not -path '*/integration_tests/*' 2>/dev/null)
dbt_packages: .venv/.ready packages.yml
	$(BIN)/dbt --quiet deps
	@touch $@

# A partial parse keeps the selectors of the last whole one.
$(TARGET)/manifest.json: .venv/.ready profiles.yml dbt_packages dbt_project.yml selectors.yml $(DBT_FILES)
	@if [ selectors.yml -nt $@ ]; then rm -f $(TARGET)/partial_parse.msgpack; fi
	$(BIN)/dbt --quiet parse --target-path $(TARGET)
	@touch $@

.PHONY: run
run: setup ## Daily sales on demo data by a real Airflow scheduler, from nothing to a printed result
	@$(BIN)/python -m orchestration.local.demos.sales

.PHONY: run-tables
run-tables: setup ## The tables (customers, orders, products, inventory and more) on demo files, by a real Airflow scheduler
	@$(BIN)/python -m orchestration.local.demos.tables

.PHONY: run-events
run-events: setup ## The events of a Kafka topic, by a real Airflow scheduler: loaded once each, and a loss that is told
	@$(BIN)/python -m orchestration.local.demos.events

.PHONY: replay
replay: setup ## Type all events that have landed anew, and merge them anew: after a mend of their contract
	@$(BIN)/dbt build --full-refresh --indirect-selection cautious --selector realtime_event_ingestion

.PHONY: run-churn
run-churn: setup ## The churn model: features, training, an endpoint and its scores, by a real Airflow scheduler
	@$(BIN)/python -m orchestration.local.demos.churn

.PHONY: up
up: setup ## Airflow's UI and all local services, until interrupted
	@$(BIN)/python -m orchestration.local.up

backfill: export BACKFILL_FROM := $(value FROM)
backfill: export BACKFILL_TO := $(value TO)
backfill: export BACKFILL_DAG := $(value DAG)
backfill: export BACKFILL_REPROCESS := $(value REPROCESS)
.PHONY: backfill
backfill: setup ## A range of days by Airflow's backfill, three at a time: FROM=2024-01-01 TO=2024-03-31 (DAG=..., REPROCESS=yes)
	@$(BIN)/python -m orchestration.local.backfill --from="$$BACKFILL_FROM" --to="$$BACKFILL_TO" --dag="$$BACKFILL_DAG" --reprocess="$$BACKFILL_REPROCESS"

.PHONY: audit
audit: setup ## Compute production anew from the raw tables and compare it row for row
	@$(BIN)/python -m orchestration.commands.audit

# As they were typed: neither make nor the shell reads anything in them.
release: export RELEASE_FILE := $(value FILE)
release: export RELEASE_REASON := $(value REASON)
release: export RELEASE_BY := $(value BY)
.PHONY: release
release: setup ## Let a held file through: FILE=raw/sales/2024-01-05/sales_export.csv REASON="..."
	@$(BIN)/python -m orchestration.commands.release --file="$$RELEASE_FILE" --reason="$$RELEASE_REASON" --by="$$RELEASE_BY"

new-table: export TABLE_NAME := $(value NAME)
new-table: export TABLE_SAMPLE := $(value SAMPLE)
.PHONY: new-table
new-table: setup ## Write the models of a new table from a sample: NAME=complaints SAMPLE=file.csv (docs/add-a-table.md)
	@$(BIN)/python -m orchestration.commands.new_table --name="$$TABLE_NAME" --sample="$$TABLE_SAMPLE"

changed: export CHANGED_STATE := $(value STATE)
changed: export CHANGED_BASE := $(value BASE)
.PHONY: changed
changed: setup ## Build and test what differs from production, beside it; production is the main branch, BASE=commit or STATE=folder of its manifest
	@$(BIN)/python -m orchestration.commands.changed --state="$$CHANGED_STATE" --base="$$CHANGED_BASE"

.PHONY: docs
docs: setup ## The dbt docs site, as one page: target/static_index.html
	@$(BIN)/dbt docs generate --static
	@echo "Open target/static_index.html in a browser."

.PHONY: graph
graph: setup ## Airflow's DAGs as Mermaid: docs/graph.md
	$(BIN)/python -m orchestration.commands.graph

.PHONY: screenshots
screenshots: setup ## Pictures of Airflow's UI, where there is a chromium: docs/images
	@$(BIN)/python -m orchestration.local.screenshots

.PHONY: lint
lint: setup ## ruff, the contracts and sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m orchestration.contracts
	$(BIN)/sqlfluff lint --processes 2 models tests/dbt
	$(BIN)/sqlfluff lint --templater placeholder orchestration/snowflake

.PHONY: test
# Three on two cores: there is always one that waits for a server.
test: setup lint ## Everything that CI runs
	$(BIN)/pytest -m 'not long and not smoke' --numprocesses 3 --dist loadgroup --no-loadscope-reorder

.PHONY: test-fast
test-fast: setup ## What needs neither dbt nor a server
	$(BIN)/pytest -m fast

.PHONY: test-long
test-long: setup ## A thousand histories, all real days, kills at every statement, three runs in every order
	$(BIN)/pytest -m long --numprocesses 3 --dist loadgroup --no-loadscope-reorder

.PHONY: statements
statements: setup ## Record anew what a daily run sends to Snowflake: tests/python/snowflake/daily-run.snowflake.sql
	RECORD=yes $(BIN)/pytest --quiet tests/python/snowflake/test_snowflake_statements.py

.PHONY: smoke
smoke: setup ## Twenty histories of sales on a Snowflake account of yours, in a database of its own (tests/python/snowflake/test_smoke.py)
	$(BIN)/pytest -m smoke

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml
.PHONY: bench
bench: setup ## What the daily load, events and features cost, against pure DuckDB and librdkafka: docs/benchmark.md; an hour, 10 GB in .local/bench
	$(BIN)/python -m bench

.PHONY: lock
lock: .venv/bin/uv ## Lock the dependencies anew
	$(LOCK) --extra dev -o requirements-dev.txt
	$(LOCK) -c requirements-dev.txt -o requirements.txt

.PHONY: clean
clean: ## Remove everything that was made here, the warehouse included
	rm -rf .venv .local demo target logs dbt_packages package-lock.yml profiles.yml .user.yml warehouse.duckdb* *.egg-info .pytest_cache .ruff_cache .hypothesis
