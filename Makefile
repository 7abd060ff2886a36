# make run | check | test | soak | parity | docs | ui | dashboard | screenshots | bench | audit | spark-up | spark-down | test-spark | clean
# Each target sets up what it needs first, which takes no time when nothing has changed.

# The first interpreter of a version that the project supports; override with PYTHON=/path/to/python.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$python && break; done)
# Some containers set it for all programs: each process would compile this project again, and each worker of pytest the tests, which was half of the CPU that
# it took to collect them.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS := .venv-peers
AUDIT := .venv-audit
FUZZ := .venv-fuzz
SPARK := .venv-spark
# What builds on Spark need, where there is Java for them.
WITH_SPARK := $(if $(shell command -v java),$(SPARK)/.installed)
# A target; all of them take 9 times as long.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS := ledger_jsonl ledger_json ledger_csv ledger_parquet events_jsonl events_csv payments_csv prices_csv sessions_json stripe settings

.PHONY: run check test lint ruff sqlfluff types unit tests parity soak fuzz docs ui dashboard screenshots bench audit spark-up spark-down test-spark lock clean

define environment
@test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.13 was found; install one or call make with PYTHON=/path/to/python." >&2; exit 2; }
test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
endef

# Into the environment of the first argument, with the options of the second. uv takes seconds where pip takes a minute and a half, but reads none of pip's
# configuration: pip does it where that names an index of its own, and where uv fails. Compiled once, as pip does: where Python may write no bytecode, each
# process would compile the 3,000 modules it imports, in 5 s.
define install
@python=$(1)/bin/python; pip="$$python -m pip install --quiet --disable-pip-version-check"; \
if ! $$python -m pip config list | grep -q "[.]index-url=" && { test -x $(1)/bin/uv || $$pip --constraint requirements.lock uv; } \
	&& $(1)/bin/uv pip install --quiet --compile-bytecode --python $$python $(2); then :; else $$pip $(2); fi
endef

# With WAREHOUSE_TARGET=spark on the cluster that the settings name, such as that of `make spark-up`.
run: $(if $(filter spark,$(WAREHOUSE_TARGET)),$(SPARK)/.installed,$(INSTALLED))
	$(<D)/bin/paywall-warehouse run --sample

# The quick loop, under a minute on two cores: lint, types and the unit tests. Reports every problem that it finds.
check: $(INSTALLED)
	$(MAKE) --jobs 2 --keep-going --output-sync lint types unit

# Everything that a change has to pass. Lint and types run while tests wait for a disk or a browser. Builds on Spark, which take minutes each: `make parity`,
# `make test-spark`.
test: $(INSTALLED)
	$(MAKE) --jobs 4 --keep-going lint types tests

lint: ruff sqlfluff

ruff: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Half a minute on one core: sqlfluff has no cache.
sqlfluff: $(INSTALLED)
	$(BIN)/sqlfluff lint --processes 2 --disable-progress-bar dbt_project

types: $(INSTALLED)
	$(BIN)/mypy

# No whole run, no server, no browser: under 30 s on one core.
unit: $(INSTALLED)
	$(BIN)/pytest tests/unit

# Four workers for two cores: three were at work in 70 % of the time only, because tests wait for browsers, servers and other processes. The files run in the
# order of `tests/conftest.py`; pytest-xdist's own order would be by number of tests.
tests: $(INSTALLED)
	$(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

# A ledger of the oracle's, built on Spark, beside DuckDB's: two minutes alone on the machine. For tables this small, generating code and compiling it does not pay: Spark and Java do
# without here, and the catalog does not wait for the disk. All that is tested on Spark, as companies run it: `make test-spark`.
parity: export PYSPARK_SUBMIT_ARGS = --conf spark.sql.codegen.wholeStage=false --conf spark.sql.codegen.factoryMode=NO_CODEGEN pyspark-shell
parity: export JAVA_TOOL_OPTIONS = -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dderby.system.durability=test
parity: $(WITH_SPARK)
ifdef WITH_SPARK
	$(SPARK)/bin/pytest -m soak -k "what_duckdb_does and berlin" tests/spark/test_cluster.py
else
	@echo "There is no Java: what Spark publishes was not tested."
endif

# What is too long for every change: the tests of that name, then the oracles and the order of things against more scenarios. CRASHES says how many runs are killed.
soak: $(INSTALLED)
	$(BIN)/pytest -m soak
	ORACLE_EXAMPLES=8 $(BIN)/pytest -m "soak or not soak" -k "oracle_computes or three_batches"
	ORDER_EXAMPLES=5 $(BIN)/pytest -m "soak or not soak" tests/e2e/test_order.py
	INGESTION_ROUNDS=50 $(BIN)/pytest -m "soak or not soak" tests/integration/test_parallel_load.py
	VALUE_EXAMPLES=100 $(BIN)/pytest -m "soak or not soak" tests/integration/test_export_values.py -k to_the_last_digit
	API_EXAMPLES=200 $(BIN)/pytest -m "soak or not soak" tests/integration/test_pull_api.py -k any_paging
	$(MAKE) parity
	$(MAKE) fuzz

# What is found new goes to $(FUZZ)/, an input that breaks a promise to the current folder; tests/fuzz/corpus/ is only read.
fuzz: $(FUZZ)/.installed
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p $(FUZZ)/found/$$target && echo "fuzzing $$target for $(FUZZ_SECONDS) s" && \
		$(FUZZ)/bin/python -m tests.fuzz.fuzz $$target -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=4096 -max_len=4096 -verbosity=0 \
			$(FUZZ)/found/$$target tests/fuzz/corpus/$$target || exit 1; \
	done

# The models with their lineage, tests and columns, as one page. Without a catalog from the database: the contracts state the types of the columns.
docs: export WAREHOUSE_HOME := $(CURDIR)/dbt_project/target/docs
docs: DOCS_OPTIONS = --project-dir dbt_project --profiles-dir dbt_project --target-path $(WAREHOUSE_HOME) --log-path $(WAREHOUSE_HOME)
docs: $(INSTALLED)
	@mkdir -p $(WAREHOUSE_HOME)
	$(BIN)/dbt --quiet parse $(DOCS_OPTIONS)
	$(BIN)/dbt --quiet docs generate --static --empty-catalog --no-compile $(DOCS_OPTIONS)
	@echo "$(WAREHOUSE_HOME)/static_index.html"

ui: $(INSTALLED)
	$(BIN)/paywall-warehouse ui

dashboard: $(INSTALLED)
	$(BIN)/paywall-warehouse dashboard

# The pictures of the README; needs Chromium.
screenshots: $(INSTALLED)
	$(BIN)/python -m tests.support.screenshots

# About an hour and 30 GB of disk; docs/benchmarks.md says how to measure less.
bench: $(INSTALLED) $(PEERS)/.installed
	$(BIN)/python -m benchmarks.bench

# A master, two workers and the Thrift server on loopback, with Java 17; docs/scale.md says what to do with them.
spark-up: $(SPARK)/.installed
	$(SPARK)/bin/python -m warehouse.spark.local_cluster up

spark-down: $(SPARK)/.installed
	$(SPARK)/bin/python -m warehouse.spark.local_cluster down

# About an hour: each of its runs starts Spark and takes minutes on two cores.
test-spark: $(SPARK)/.installed
	$(SPARK)/bin/pytest -m "soak or not soak" tests/spark/test_cluster.py

# Known vulnerabilities of the pinned versions, from the service of the Python index: needs the network.
audit: $(AUDIT)/bin/pip-audit
	$(AUDIT)/bin/pip-audit --strict --requirement requirements.lock --disable-pip --no-deps

$(AUDIT)/bin/pip-audit:
	$(call environment,$(AUDIT))
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1

# What is installed beside the project's own packages, in an environment of its own.
define lock_extra
$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["$(1)"], sep="\n")' \
	| $(BIN)/uv pip compile - --constraint requirements.lock --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate --quiet \
	--output-file requirements-$(1).lock
endef

# Only for changing versions.
lock: $(INSTALLED)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --no-emit-index-url --no-header --quiet \
		--output-file requirements.lock
	$(call lock_extra,peers)
	$(call lock_extra,fuzz)
	$(call lock_extra,spark)
	$(call lock_extra,deploy)

clean:
	rm -rf $(VENV) $(PEERS) $(AUDIT) $(FUZZ) $(SPARK) .mypy_cache .pytest_cache .ruff_cache .hypothesis dbt_project/target dbt_project/logs

$(INSTALLED): requirements.lock pyproject.toml
	$(call environment,$(VENV))
	$(call install,$(VENV),--requirement requirements.lock)
	$(call install,$(VENV),--no-deps --no-build-isolation --editable .)
	@touch $@

# Apart from `.venv`: nothing else needs the fuzzer.
$(FUZZ)/.installed: requirements.lock requirements-fuzz.lock
	$(call environment,$(FUZZ))
	$(call install,$(FUZZ),--requirement requirements.lock --requirement requirements-fuzz.lock)
	@touch $@

# Apart from `.venv`: the peers bring 1 GB that nothing else needs.
$(PEERS)/.installed: requirements-peers.lock
	$(call environment,$(PEERS))
	$(call install,$(PEERS),--requirement requirements-peers.lock)
	@touch $@

# Apart from `.venv`: Spark brings 400 MB that a single machine does not need.
$(SPARK)/.installed: requirements.lock requirements-spark.lock pyproject.toml
	$(call environment,$(SPARK))
	$(call install,$(SPARK),--requirement requirements.lock --requirement requirements-spark.lock)
	$(call install,$(SPARK),--no-deps --no-build-isolation --editable .)
	@touch $@
