"""The same models on Spark: what is built there is what DuckDB publishes, row for row and to the last digit.

`make test-spark` runs this in the environment that has Spark; without it, or without Java, only what needs
neither is run.
"""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dashboard.snapshot import Snapshot, UnreadableError
from exports.ad_hoc import SliceRequest, write_slice
from orchestration.cli.common import land_sample_data
from paywall_warehouse.home import Home
from paywall_warehouse.settings import SettingsError, load_settings
from tests.support import erasure_homes as erasures, payment_story, random_payments
from tests.support.builders import deposit, land, ledger_file
from tests.support.cluster_parity import differences
from tests.support.export_homes import AS_OF, BY_DEFAULT, first_publication
from tests.support.harness import publish_home, run_pipeline
from tests.support.payment_builders import land_in_order
from tests.support.strategies import build_scenario
from warehouse.build_file import note_publication
from warehouse.current_publication import identity_of
from warehouse.published import NotPublishedError
from warehouse.spark.builds import (
    PromotedBuild,
    builds_before_erasure,
    copy_marts,
    drop_old_builds,
    promote_build,
    promoted_builds,
    restore,
    snapshots,
)
from warehouse.spark.connection import SparkAnswer, in_spark
from warehouse.spark.local_cluster import HOST, LocalCluster, iceberg_jar
from warehouse.spark.source_statements import lake_table, small_table

HAS_SPARK = (
    all(importlib.util.find_spec(name) for name in ("pyspark", "pyhive")) and shutil.which("java") is not None
)


def on_spark(test: Callable[..., None]) -> Callable[..., None]:
    """A test that needs Spark, and minutes."""
    needs = pytest.mark.skipif(not HAS_SPARK, reason="needs the extra `spark` and Java 17: `make test-spark`")
    return pytest.mark.soak(pytest.mark.timeout(1800)(needs(test)))


def cluster_run(
    home: Path, method: str, *, table_format: str = "parquet", data_tests: bool = True, **settings: Any
) -> subprocess.CompletedProcess[str]:
    """`paywall-warehouse run` on Spark, in a process of its own, as a process has one session."""
    command = ["paywall-warehouse"] if data_tests else ["python", "-m", "tests.support.without_data_tests"]
    return _called([*command, "run"], home, method, table_format, settings)


def dbt_on_spark(home: Path, method: str, *words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """A call of dbt on the lake of a home."""
    return _called(["paywall-warehouse", "dbt", *words], home, method, "parquet", settings)


def _called(
    command: list[str], home: Path, method: str, table_format: str, settings: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    variables = {name.upper(): str(value) for name, value in settings.items()}
    spark = {"WAREHOUSE_TARGET": "spark", "SPARK_METHOD": method, "SPARK_TABLE_FORMAT": table_format}
    jar = {"SPARK_ICEBERG_JAR": str(iceberg_jar())} if table_format == "iceberg" else {}
    environment = {**os.environ, "WAREHOUSE_HOME": str(home), **spark, **jar, **variables}
    beside = str(Path(sys.executable).with_name(command[0]))
    return subprocess.run(
        [beside, *command[1:]], env=environment, capture_output=True, text=True, check=False
    )


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
    land_in_order(home, payment_story.story.files())
    return {"as_of": payment_story.SETTINGS.as_of.isoformat(), "reporting_timezone": "Europe/Berlin"}


def payments_at_random(home: Path) -> dict[str, Any]:
    land_in_order(home, [file for batch in random_payments.Books(3).batches() for file in batch])
    return {"as_of": random_payments.END.isoformat(), "reporting_timezone": "Pacific/Auckland"}


def beside_each_other(
    duck: Path, spark: Path, method: str, table_format: str, settings: dict[str, Any]
) -> str:
    """Run both homes, as the two below do."""
    on_duckdb(duck, settings)
    return as_on_duckdb(duck, spark, method, table_format, settings)


def on_duckdb(duck: Path, settings: dict[str, Any]) -> None:
    result = run_pipeline(duck, by_dbt=True, **settings)
    assert result.exit_code == 0, result.output


def as_on_duckdb(
    duck: Path,
    spark: Path,
    method: str,
    table_format: str,
    settings: dict[str, Any],
    *,
    data_tests: bool = True,
) -> str:
    """Run the second home on Spark; what its run said, after what both published has been seen to be the
    same.
    """
    done = cluster_run(spark, method, table_format=table_format, data_tests=data_tests, **settings)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert differences(published(duck), published(spark)) == {}
    return done.stdout + done.stderr


def published(home: Path) -> Path:
    return home / "published" / "warehouse.duckdb"


@on_spark
def test_spark_publishes_the_sample_as_duckdb_does(tmp_path: Path) -> None:
    as_of = "2026-11-01T12:00:00Z"
    land_sample_data(load_settings(_env_file=None, warehouse_home=tmp_path / "duck", as_of=as_of))
    shutil.copytree(tmp_path / "duck" / "landing", tmp_path / "spark" / "landing")
    beside_each_other(tmp_path / "duck", tmp_path / "spark", "session", "parquet", {"as_of": as_of})


@on_spark
@pytest.mark.parametrize("books", [berlin, new_york, story_of_payments])
def test_spark_publishes_what_duckdb_does(tmp_path: Path, books: Callable[[Path], dict[str, Any]]) -> None:
    """`make parity` runs the first of these, without dbt's data tests: every row that they would look at is
    compared with DuckDB's, where they hold.
    """
    duck, spark = tmp_path / "duck", tmp_path / "spark"
    settings = books(duck)
    shutil.copytree(duck / "landing", spark / "landing")
    on_duckdb(duck, settings)
    as_on_duckdb(duck, spark, "session", "parquet", settings, data_tests=books is not berlin)


@on_spark
def test_a_home_that_moves_to_the_cluster_publishes_what_it_did(tmp_path: Path) -> None:
    """The same lake: of reports that reach beyond the day they were loaded on, the marts show when that
    was.
    """
    settings = payments_at_random(tmp_path / "duck")
    on_duckdb(tmp_path / "duck", settings)
    shutil.copytree(tmp_path / "duck", tmp_path / "spark")
    as_on_duckdb(tmp_path / "duck", tmp_path / "spark", "session", "parquet", settings)


@on_spark
@pytest.mark.parametrize(("table_format", "seed"), [("iceberg", 7), ("iceberg", 23), ("parquet", 7)])
def test_runs_that_add_to_what_is_there_publish_what_duckdb_does(
    tmp_path: Path, table_format: str, seed: int
) -> None:
    scenario = build_scenario(seed, "Europe/Berlin", "usd", "created", "2026-06-03T15:00:00+00:00")
    settings = {
        "as_of": "2026-06-03T15:00:00+00:00",
        "reporting_timezone": "Europe/Berlin",
        "max_reject_ratio": "1",
    }
    # In one of them every other run begins with a copy.
    settings |= {"spark_copy_every": 1} if seed == 23 else {}
    # Rates that land later would ask for a build of everything.
    files = sorted(
        (file for batch in scenario.batches for file in batch), key=lambda file: file.folder != "prices"
    )
    quarters = [files[len(files) * quarter // 4 : len(files) * (quarter + 1) // 4] for quarter in range(4)]
    said, built = [], []
    for quarter in quarters:
        for home in ("duck", "spark"):
            land(tmp_path / home, quarter)
        said.append(
            beside_each_other(tmp_path / "duck", tmp_path / "spark", "session", table_format, settings)
        )
        built.append(promoted_builds(Home(tmp_path / "spark"))[0])
    assert ["new batches since the last build" in words for words in said] == [False, True, True, True]
    in_place = {("iceberg", 7): [True, True, True], ("iceberg", 23): [True, False, True]}.get(
        (table_format, seed), [False] * 3
    )
    assert ["days imported" in words for words in said] == [False, *in_place]
    assert [one.prefix == before.prefix for before, one in pairwise(built)] == in_place
    # What neither is shown nor was until the last run is gone.
    folders = (tmp_path / "spark" / "spark" / "warehouse").glob("run_*_marts.db")
    assert {folder.name.removesuffix("marts.db") for folder in folders} == {one.prefix for one in built[2:]}


@on_spark
@pytest.mark.parametrize("table_format", ["parquet", "iceberg"])
def test_a_mart_that_stays_on_the_cluster_is_exported_as_duckdb_exports_it(
    tmp_path: Path, table_format: str
) -> None:
    scenario = build_scenario(7, "Europe/Berlin", "usd", "created", "2026-06-03T15:00:00+00:00")
    settings = {
        "as_of": "2026-06-03T15:00:00+00:00",
        "reporting_timezone": "Europe/Berlin",
        "max_reject_ratio": "1",
    }
    # One of them reads a copy of the lake, as on a store.
    where = {"lake_uri": f"file://{tmp_path}/store"} if table_format == "iceberg" else {}
    # A full run, and one that adds to it.
    for files in scenario.batches[:2]:
        for home in ("duck", "spark"):
            land(tmp_path / home, list(files))
        result = run_pipeline(tmp_path / "duck", by_dbt=True, exports=True, **settings)
        assert result.exit_code == 0, result.output
        done = cluster_run(
            tmp_path / "spark",
            "session",
            table_format=table_format,
            spark_publish_max_rows=60,
            **where,
            **settings,
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
        assert (
            "marts.fct_ledger_entries has more than SPARK_PUBLISH_MAX_ROWS rows" in done.stdout + done.stderr
        )
        left = {
            table
            for table, how in differences(published(tmp_path / "duck"), published(tmp_path / "spark")).items()
            if how
        }
        assert left >= {"fct_ledger_entries", "fct_user_days"}
        for name in BY_DEFAULT:
            duck, spark = (
                stated(tmp_path / home / "exports" / "v1" / name / "manifest.json")
                for home in ("duck", "spark")
            )
            assert spark == duck, name
    with pytest.raises(
        NotPublishedError,
        match=r"marts\.fct_ledger_entries is on the cluster, as it has more than SPARK_PUBLISH_MAX_ROWS rows",
    ):
        write_slice(
            load_settings(_env_file=None, warehouse_home=tmp_path / "spark"),
            SliceRequest("ledger"),
            "csv",
            tmp_path / "slice.csv",
        )


@on_spark
def test_an_erased_person_is_nowhere_on_the_cluster(tmp_path: Path) -> None:
    """Nor in the copy of the lake that it reads; and every other value is what it was."""
    home, store = tmp_path / "home", tmp_path / "store"
    land(home, erasures.FILES)
    settings = {"as_of": erasures.AS_OF, "max_reject_ratio": "1", "lake_uri": f"file://{store}"}
    done = cluster_run(home, "session", table_format="iceberg", **settings)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    rows = erasures.marts(home)
    [named] = (home / "spark" / "warehouse").glob("run_*_marts.db")
    assert any("/fct_ledger_entries/" in name for name in erasures.naming_alice(named.parent))
    assert any("ledger_entries" in name for name in erasures.naming_alice(store))
    done = _called(
        ["paywall-warehouse", "erase", "--landing", erasures.ALICE], home, "session", "iceberg", settings
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    pseudonym = erasures.pseudonym_of(home)
    assert erasures.marts(home) == erasures.under_the_pseudonym(rows, pseudonym)
    assert not named.exists()
    assert erasures.naming_alice(store) == []
    assert erasures.naming_alice(home) == []


def stated(manifest: Path) -> dict[str, Any]:
    """What a manifest says of its rows: days, revisions, sums, files with their digests; not when, by whom,
    by which engine's hash.
    """
    content = json.loads(manifest.read_text(encoding="utf-8"))
    partitions = [
        {name: value for name, value in one.items() if name not in ("changed_at", "fingerprint")}
        for one in content["partitions"]
    ]
    return {
        "schema": content["schema"],
        "partitioned_by": content["partitioned_by"],
        "ordered_by": content["ordered_by"],
        "partitions": partitions,
    }


@on_spark
def test_a_cluster_with_other_time_zones_is_refused(tmp_path: Path) -> None:
    """Java 17.0.15 is without the rules of 2026; a Java that has them knows as much as DuckDB, and there is
    nothing to refuse.
    """
    done = dbt_on_spark(
        tmp_path, "session", "build", as_of="2026-11-24", reporting_timezone="America/Vancouver"
    )
    if (
        "17.0.15"
        not in subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    ):
        pytest.skip("another Java")
    assert done.returncode == 1
    assert "other rules for America/Vancouver than DuckDB" in done.stderr
    assert "2026-11-02, 2026-11-03, 2026-11-04" in done.stderr


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """A cluster of its own, on ports of its own."""
    started = LocalCluster(tmp_path / "cluster", port=10_017, master_port=7_117, metastore_port=9_117)
    try:
        started.up()
        yield started
    finally:
        started.down()


@on_spark
def test_dbts_unit_tests_hold_on_a_cluster(tmp_path: Path, cluster: LocalCluster) -> None:
    """On tables that are there: some of them look into their own model's."""
    berlin(tmp_path / "home")
    for words in (["run"], ["test", "--select", "test_type:unit"]):
        done = dbt_on_spark(tmp_path / "home", "thrift", *words, spark_host=HOST, spark_port=cluster.port)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert "FAILED" not in done.stdout
    assert re.search(r"0 models built, [1-9]\d+ tests passed", done.stdout)


@on_spark
def test_a_cluster_is_reached_over_https_with_a_token_that_is_shown_nowhere(tmp_path: Path) -> None:
    """By the way that leads to Databricks; here to Spark's own Thrift server, which believes any token."""
    keys, certificate = tmp_path / "keys.p12", tmp_path / "certificate.pem"
    words = ["-storepass", "only here", "-keystore", str(keys), "-alias", "spark"]
    made = ["-genkeypair", "-keyalg", "RSA", "-dname", "CN=spark", "-ext", f"san=ip:{HOST}"]
    subprocess.run(["keytool", *made, *words], check=True, capture_output=True)
    subprocess.run(
        ["keytool", "-exportcert", "-rfc", "-file", str(certificate), *words], check=True, capture_output=True
    )
    server = {
        "transport.mode": "http",
        "thrift.http.port": "10018",
        "thrift.http.path": "sql/protocolv1/o/0/one",
        "use.SSL": "true",
        "keystore.path": str(keys),
        "keystore.password": "only here",
    }
    settings = berlin(tmp_path / "duck")
    shutil.copytree(tmp_path / "duck" / "landing", tmp_path / "spark" / "landing")
    cluster = LocalCluster(
        tmp_path / "cluster",
        port=10_018,
        master_port=7_118,
        metastore_port=9_118,
        settings={f"spark.hadoop.hive.server2.{name}": value for name, value in server.items()},
    )
    way = {
        "spark_host": HOST,
        "spark_port": cluster.port,
        "spark_cluster": "one",
        "spark_token": "dapi_very_secret",
        "ssl_cert_file": certificate,
    }
    try:
        cluster.up()
        on_duckdb(tmp_path / "duck", settings)
        said = as_on_duckdb(tmp_path / "duck", tmp_path / "spark", "http", "parquet", settings | way)
    finally:
        cluster.down()
    holders = [
        path
        for path in (tmp_path / "spark").rglob("*")
        if path.is_file() and b"very_secret" in path.read_bytes()
    ]
    assert holders == []
    assert "very_secret" not in said


@on_spark
def test_a_worker_that_is_killed_changes_nothing(tmp_path: Path, cluster: LocalCluster) -> None:
    settings = berlin(tmp_path / "duck") | {"spark_host": HOST, "spark_port": cluster.port}
    shutil.copytree(tmp_path / "duck" / "landing", tmp_path / "spark" / "landing")
    ended = threading.Event()

    def kill_when_it_builds() -> None:
        # The executors are children of the worker; they end with it.
        while not ended.wait(0.1):
            if any(cluster.warehouse.glob("run_*_marts.db/fct_ledger_entries")):
                os.killpg(cluster.processes()["worker-1"], signal.SIGKILL)
                return

    killer = threading.Thread(target=kill_when_it_builds)
    killer.start()
    try:
        beside_each_other(tmp_path / "duck", tmp_path / "spark", "thrift", "iceberg", settings)
    finally:
        ended.set()
        killer.join()
    assert "worker-1" not in cluster.processes()
    assert "worker-2" in cluster.processes()


# ---- what needs no Spark


def test_a_lake_table_shows_committed_batches_only() -> None:
    dropped, created, added, viewed = lake_table(
        "rejects", "s3a://bucket/lake", {0: "batch=00000000", 12: "batch=00000012-rewritten"}
    )
    assert dropped == "drop table if exists raw.lake_rejects"
    assert created.endswith("using parquet partitioned by (batch_seq) location 's3a://bucket/lake/rejects'")
    assert "batch_seq bigint) using" in created
    assert (
        added == "alter table raw.lake_rejects add partition (batch_seq = 0) location"
        " 's3a://bucket/lake/rejects/batch=00000000' partition (batch_seq = 12) location"
        " 's3a://bucket/lake/rejects/batch=00000012-rewritten'"
    )
    assert viewed.startswith("create or replace view raw.rejected_records as select batch_seq, source, ")


def test_a_small_table_carries_its_rows_as_text() -> None:
    columns = {"name": "varchar", "at": "timestamptz", "words": "varchar[]", "is_on": "boolean"}
    row = {"name": "it's \\ ü", "at": datetime(2026, 3, 1, tzinfo=UTC), "words": ["a"], "is_on": True}
    created, filled = small_table("raw.it", columns, [row])
    assert (
        created
        == "create table if not exists raw.it (name string, at timestamp, words array<string>, is_on boolean)"
        " using parquet"
    )
    assert (
        r"""'[{"name": "it\'s \\\\ \\u00fc", "at": "2026-03-01T00:00:00+00:00","""
        r""" "words": ["a"], "is_on": "true"}]'""" in filled
    )
    assert (
        "cast(at as timestamp) as at, cast(words as array<string>) as words, cast(is_on as boolean) as is_on"
        in filled
    )


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("warehouse_target", "sqlite", "duckdb"),
        ("spark_method", "carrier pigeon", "thrift"),
        ("spark_port", "0", "1"),
        ("spark_cluster", "a/b", "A-Za-z0-9_-"),
        ("spark_host", "http://it", "the name or address of a host"),
        ("lake_uri", "lake`", "without quotes"),
        ("lake_uri", "lake", "a folder or a URL"),
    ],
)
def test_settings_of_a_cluster_are_checked(name: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingsError, match=f"{name.upper()}.*is not allowed.*{allowed}"):
        load_settings(_env_file=None, **{name: value})


def test_sums_of_an_export_are_asked_in_sparks_words() -> None:
    asked = (
        "select currency, sum(hash(day, amount)) from marts.fct group by all qualify row_number() over (order"
        " by currency) = 1"
    )
    said = in_spark(asked, "run_1_")
    assert "FROM run_1_marts.fct" in said
    # Spark passes over NULL, so that ('a', NULL) would be as (NULL, 'a').
    assert "SUM(CAST(XXHASH64(day, day IS NULL, amount, amount IS NULL) AS DECIMAL(38, 0)))" in said
    assert "BIT_XOR(XXHASH64(a, a IS NULL))" in in_spark("select bit_xor(hash(a)) from marts.fct", "run_1_")
    assert "QUALIFY" not in said
    assert "OCTET_LENGTH(a)" in in_spark("select strlen(a) from marts.fct", "run_1_")
    assert (
        in_spark("select a from marts.fct", "run_1_", {"fct": 7})
        == "SELECT a FROM run_1_marts.fct VERSION AS OF 7"
    )
    # What has no schema is a name of the query's own.
    assert (
        in_spark("with one as (select 1 as a) select a from one", "run_1_")
        == "WITH one AS (SELECT 1 AS a) SELECT a FROM one"
    )


def test_duckdb_adds_to_no_file_whose_rows_are_on_a_cluster(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shutil.copytree(first_publication(tmp_path_factory), tmp_path, dirs_exist_ok=True)
    file = published(tmp_path)
    before = shutil.copy(file, tmp_path / "before.duckdb")
    with duckdb.connect(str(file)) as connection:
        # As a run on a cluster leaves it, whose ledger was too large.
        connection.execute("create schema on_cluster")
        connection.execute(
            "create table on_cluster.fct_ledger_entries as from marts.fct_ledger_entries limit 0"
        )
        connection.execute("drop table marts.fct_ledger_entries")
        state = connection.execute("select fingerprint, built_through from ops.build_state").fetchall()[0]
    note_publication(Home(tmp_path), file, *state)
    identity = identity_of(file)
    assert identity is not None
    with pytest.raises(
        UnreadableError,
        match="does not contain fct_ledger_entries, which have more than SPARK_PUBLISH_MAX_ROWS rows",
    ):
        Snapshot(file, identity, tmp_path)
    with pytest.raises(
        NotPublishedError,
        match=r"marts\.fct_ledger_entries is on the cluster, as it has more than SPARK_PUBLISH_MAX_ROWS rows",
    ):
        write_slice(
            load_settings(_env_file=None, warehouse_home=tmp_path),
            SliceRequest("ledger"),
            "csv",
            tmp_path / "slice.csv",
        )
    land(tmp_path, [ledger_file("more.jsonl", [deposit("later", "2026-10-03T10:00:00Z", "1")])])
    publish_home(tmp_path, as_of=AS_OF)
    assert differences(before, file)["fct_ledger_entries"].startswith(
        "rows of the first only [], of the second only [('later'"
    )
    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.execute("from duckdb_tables() where schema_name = 'on_cluster'").fetchall() == []


MARTS: dict[str, dict[str, Any]] = {"dim_users": {"columns": {"user_id": {}, "label": {}}}}


class Recorder:
    """Answers as a cluster with some schemas would, and remembers the statements."""

    def __init__(self, schemas: list[str], snapshots: dict[str, int]) -> None:
        self.schemas, self.snapshots, self.statements = schemas, snapshots, list[str]()

    def run(self, statement: str) -> None:
        self.statements.append(statement)

    def ask(self, query: str) -> SparkAnswer:
        if query == "show schemas":
            return SparkAnswer(["namespace"], [(schema,) for schema in self.schemas])
        table = query.split("from ")[1].split(".refs", maxsplit=1)[0]
        return SparkAnswer(["snapshot_id"], [(self.snapshots[table],)] if table in self.snapshots else [])


def test_builds_that_are_not_promoted_are_dropped(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, warehouse_home=tmp_path, spark_schema_prefix="acme_")
    layers = (
        "acme_run_aa_marts",
        "acme_run_bb_marts",
        "acme_run_cc_raw",
        "acme_run_dd_marts",
        "acme_run_ee_ops",
    )
    spark: Any = Recorder([*layers, "acme_marts", "run_ff_marts", "acme_run_cc_theirs", "default"], {})
    for number, prefix in enumerate(("acme_run_aa_", "acme_run_bb_", "acme_run_dd_")):
        promote_build(settings, spark, PromotedBuild(prefix, {}, number, str(number)), MARTS)
    assert [build.prefix for build in promoted_builds(settings.home)] == ["acme_run_dd_", "acme_run_bb_"]
    spark.statements.clear()
    drop_old_builds(settings, spark, "acme_run_ee_")
    assert spark.statements == [
        f"drop schema if exists {schema} cascade" for schema in ("acme_run_aa_marts", "acme_run_cc_raw")
    ]


def test_a_build_may_begin_with_tables_of_its_own() -> None:
    spark: Any = Recorder([], {})
    copy_marts(spark, PromotedBuild("run_aa_", {}, 3, "f"), "run_bb_", {"fct_user_days": "date_day"})
    assert spark.statements == [
        "create schema if not exists run_bb_marts",
        "create table run_bb_marts.fct_user_days like run_aa_marts.fct_user_days",
        "insert into run_bb_marts.fct_user_days select * from run_aa_marts.fct_user_days",
    ]
    spark.statements.clear()
    # Tables of Iceberg's as they are shown, whatever has been built in them since.
    copy_marts(
        spark,
        PromotedBuild("run_aa_", {"fct_user_days": 7}, 3, "f"),
        "run_bb_",
        {"fct_user_days": "date_day"},
    )
    assert spark.statements[1:] == [
        "create table run_bb_marts.fct_user_days using iceberg partitioned by (date_day) as"
        " select * from run_aa_marts.fct_user_days version as of 7"
    ]


def test_no_build_stays_that_names_an_erased_person(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, warehouse_home=tmp_path)
    spark: Any = Recorder(["run_aa_marts", "run_bb_marts", "run_cc_marts", "try_marts"], {})
    erased = "2026-10-05T12:00:00+00:00"
    for prefix, erased_at in (
        ("old_run_99_", None),
        ("run_aa_", None),
        ("run_bb_", None),
        ("run_cc_", erased),
    ):
        before = promoted_builds(settings.home)
        promote_build(settings, spark, PromotedBuild(prefix, {}, 1, prefix, erased_at), MARTS)
    assert [build.prefix for build in promoted_builds(settings.home)] == ["run_cc_"]
    assert builds_before_erasure(settings.home, None) == ["run_cc_"]
    assert builds_before_erasure(settings.home, erased) == []
    spark.statements.clear()
    drop_old_builds(settings, spark, "run_cc_")
    assert spark.statements == [
        f"drop schema if exists {schema} cascade" for schema in ("run_aa_marts", "run_bb_marts", "try_marts")
    ]
    spark.statements.clear()
    # Those that were shown go whatever SPARK_SCHEMA_PREFIX is now.
    drop_old_builds(settings, spark, "run_cc_", [PromotedBuild("old_run_99_", {}, 1, "f"), *before])
    assert "drop schema if exists old_run_99_marts cascade" in spark.statements


def test_a_view_names_the_snapshot_that_was_checked(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, warehouse_home=tmp_path)
    spark: Any = Recorder([], {"run_aa_marts.dim_users": 7, "run_aa_marts.fct_user_days": 8})
    build = PromotedBuild("run_aa_", snapshots(spark, "run_aa_", ["dim_users", "fct_user_days"]), 3, "f")
    # A build that was killed has changed one of them since.
    spark.snapshots["run_aa_marts.fct_user_days"] = 9
    promote_build(settings, spark, build, MARTS)
    assert (
        spark.statements[-1]
        == "create or replace view marts.dim_users as select user_id, label from run_aa_marts.dim_users"
        " version as of 7"
    )
    spark.statements.clear()
    # And another one, which had no row and so no snapshot, has one now.
    spark.snapshots["run_aa_marts.fct_wallet_days"] = 1
    restore(spark, build, ["dim_users", "fct_user_days", "fct_wallet_days"])
    assert spark.statements == [
        (
            "insert overwrite run_aa_marts.fct_user_days select * from run_aa_marts.fct_user_days version as"
            " of 8"
        ),
        "delete from run_aa_marts.fct_wallet_days",
    ]
