"""The same models on Spark: what is built there is what DuckDB publishes, row for row and to the last digit.

`make test-spark` runs this in the environment that has Spark; without it, or without Java, only what needs neither is run.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.local import HOST, LocalCluster
from ingestion.cluster_build import lake_table, small_table
from paywall_warehouse.settings import SettingsError, load_settings
from tests import test_reconciliation as payments
from tests.builders import land
from tests.cluster_parity import differences
from tests.harness import run_pipeline
from tests.payment_builders import land_in_order
from tests.strategies import build_scenario

HAS_SPARK = all(importlib.util.find_spec(name) for name in ("pyspark", "pyhive")) and shutil.which("java") is not None


def on_spark(test: Callable[..., None]) -> Callable[..., None]:
    """A test that needs Spark, and minutes."""
    needs = pytest.mark.skipif(not HAS_SPARK, reason="needs the extra `spark` and Java 17: `make test-spark`")
    return pytest.mark.soak(pytest.mark.timeout(1800)(needs(test)))


def build(home: Path, method: str, command: tuple[str, ...] = (), **settings: Any) -> subprocess.CompletedProcess[str]:
    """What `WAREHOUSE_TARGET=spark` builds from the lake of a home, in a process of its own, as a process has one session."""
    variables = {name.upper(): str(value) for name, value in settings.items()}
    environment = {**os.environ, "WAREHOUSE_HOME": str(home), "WAREHOUSE_TARGET": "spark", "SPARK_METHOD": method, **variables}
    called = [sys.executable, "-m", "orchestration.cluster", *command]
    return subprocess.run(called, env=environment, capture_output=True, text=True, check=False)


def random_ledger(home: Path, seed: int, timezone: str, currency: str, settles_on: str) -> dict[str, Any]:
    scenario = build_scenario(seed, timezone, currency, settles_on, "2026-06-03T15:00:00+00:00")
    land(home, scenario.files)
    return {
        "as_of": scenario.settings.as_of.isoformat(),
        "reporting_timezone": timezone,
        "default_currency": currency,
        "manual_charge_settles_on": settles_on,
        "max_reject_ratio": "1",
    }


def berlin(home: Path) -> dict[str, Any]:
    return random_ledger(home, 7, "Europe/Berlin", "usd", "created")


def new_york(home: Path) -> dict[str, Any]:
    return random_ledger(home, 23, "America/New_York", "eur", "completed")


def story_of_payments(home: Path) -> dict[str, Any]:
    """Every kind of break, Stripe's reports in many forms."""
    land_in_order(home, payments.story.files())
    return {"as_of": payments.SETTINGS.as_of.isoformat(), "reporting_timezone": "Europe/Berlin"}


def random_payments(home: Path) -> dict[str, Any]:
    land_in_order(home, [file for batch in payments.Books(3).batches() for file in batch])
    return {"as_of": payments.END.isoformat(), "reporting_timezone": "Pacific/Auckland"}


@on_spark
@pytest.mark.parametrize("books", [berlin, new_york, story_of_payments, random_payments])
def test_spark_builds_what_duckdb_publishes(tmp_path: Path, books: Callable[[Path], dict[str, Any]]) -> None:
    settings = books(tmp_path)
    result = run_pipeline(tmp_path, **settings)
    assert result.exit_code == 0, result.output
    done = build(tmp_path, "session", **settings)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert differences(tmp_path / "published" / "warehouse.duckdb", tmp_path / "spark" / "warehouse") == {}


@on_spark
def test_a_cluster_with_other_time_zones_is_refused(tmp_path: Path) -> None:
    """Java 17.0.15 is without the rules of 2026; a Java that has them knows as much as DuckDB, and there is nothing to refuse."""
    done = build(tmp_path, "session", as_of="2026-11-24", reporting_timezone="America/Vancouver")
    if "17.0.15" not in subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr:
        pytest.skip("another Java")
    assert done.returncode == 1
    assert "other rules for America/Vancouver than DuckDB" in done.stdout
    assert "2026-11-02, 2026-11-03, 2026-11-04" in done.stdout


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """A cluster of its own, on ports of its own."""
    started = LocalCluster(tmp_path / "cluster", port=10_017, master_port=7_117)
    try:
        started.up()
        yield started
    finally:
        started.down()


@on_spark
def test_a_cluster_builds_it_too_and_dbts_unit_tests_hold_there(tmp_path: Path, cluster: LocalCluster) -> None:
    home = tmp_path / "home"
    settings = berlin(home)
    result = run_pipeline(home, **settings)
    assert result.exit_code == 0, result.output
    done = build(home, "thrift", ("build",), spark_host=HOST, spark_port=cluster.port, **settings)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert "ERROR=0" in done.stdout
    assert differences(home / "published" / "warehouse.duckdb", cluster.warehouse) == {}


# ---------------------------------------------------------------------------------------------- what needs no Spark


def test_a_lake_table_shows_committed_batches_only() -> None:
    dropped, created, added, viewed = lake_table("rejects", "s3a://bucket/lake", {0: "batch=00000000", 12: "batch=00000012-aside"})
    assert dropped == "drop table if exists raw.lake_rejects"
    assert created.endswith("using parquet partitioned by (batch_seq) location 's3a://bucket/lake/rejects'")
    assert "batch_seq bigint) using" in created
    assert added == (
        "alter table raw.lake_rejects add partition (batch_seq = 0) location 's3a://bucket/lake/rejects/batch=00000000'"
        " partition (batch_seq = 12) location 's3a://bucket/lake/rejects/batch=00000012-aside'"
    )
    assert viewed.startswith("create or replace view raw.rejected_records as select batch_seq, source, ")


def test_a_small_table_carries_its_rows_as_text() -> None:
    columns = {"name": "varchar", "at": "timestamptz", "words": "varchar[]", "is_on": "boolean"}
    row = {"name": "it's \\ ü", "at": datetime(2026, 3, 1, tzinfo=UTC), "words": ["a"], "is_on": True}
    dropped, created = small_table("raw.it", columns, [row])
    assert dropped == "drop table if exists raw.it"
    assert r"""'[{"name": "it\'s \\\\ \\u00fc", "at": "2026-03-01T00:00:00+00:00", "words": ["a"], "is_on": "true"}]'""" in created
    assert "cast(at as timestamp) as at, cast(words as array<string>) as words, cast(is_on as boolean) as is_on" in created


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("warehouse_target", "sqlite", "duckdb"),
        ("spark_method", "carrier pigeon", "thrift"),
        ("spark_port", "0", "1"),
        ("spark_host", "http://it", "the name or address of a host"),
        ("lake_uri", "lake`", "without quotes"),
        ("lake_uri", "lake", "a folder or a URL"),
    ],
)
def test_settings_of_a_cluster_are_checked(name: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingsError, match=f"{name.upper()}.*is not allowed.*{allowed}"):
        load_settings(_env_file=None, **{name: value})
