"""What comes from a cluster into the build file; here DuckDB is the cluster, whose Iceberg says which files a
snapshot has.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from paywall_warehouse.settings import Settings, load_settings
from warehouse.build import prepare_build
from warehouse.dbt_runner import PROJECT, Dbt
from warehouse.price_book import resolve_price_book
from warehouse.spark.builds import PromotedBuild, day_of
from warehouse.spark.connection import SparkAnswer
from warehouse.spark.engine import mart_nodes, views_of_published_file
from warehouse.spark.import_marts import import_marts

MARTS: dict[str, dict[str, Any]] = {
    "fct_user_days": {
        "columns": {
            "user_id": {"data_type": "varchar"},
            "date_day": {"data_type": "date"},
            "usage": {"data_type": "decimal(38, 12)"},
        },
        "config": {"meta": {"day": "date_day"}},
    },
    "dim_users": {"columns": {"user_id": {"data_type": "varchar"}}, "config": {}},
}


# Every read of a mart names the snapshot that is going to be shown.
OF_SNAPSHOT = re.compile(r"(run_aa_marts\.\w+) version as of \d+")


class Cluster:
    """Two tables, of which one is cut by day; each day of a snapshot is a file."""

    def __init__(self) -> None:
        self.tables = duckdb.connect()
        self.tables.execute("create schema run_aa_marts")
        self.tables.execute("create table run_aa_marts.dim_users as select 'ada' as user_id")
        self.tables.execute(
            "create table run_aa_marts.fct_user_days (date_day date, user_id varchar, usage decimal(38, 12))"
        )
        self.tables.execute("create table days_of_snapshots (snapshot bigint, day date, file_path varchar)")
        self.written: list[str] = []

    def snapshot(self, number: int, **files: str) -> dict[str, int]:
        """A new snapshot with a file a day; the snapshots of all marts."""
        for day, file in files.items():
            self.tables.execute(
                "insert into days_of_snapshots values (?, ?, ?)",
                [number, day.replace("d", "2026-10-0"), file],
            )
        return {"fct_user_days": number, "dim_users": 1}

    def set_day(self, day: str, *rows: tuple[str, str]) -> None:
        self.tables.execute("delete from run_aa_marts.fct_user_days where date_day = ?", [day])
        for user, usage in rows:
            self.tables.execute("insert into run_aa_marts.fct_user_days values (?, ?, ?)", [day, user, usage])

    def run(self, statement: str) -> None:
        written = re.fullmatch(r"insert overwrite directory '(.+)' using parquet (.+)", statement)
        assert written
        Path(written[1]).mkdir(parents=True)
        query = OF_SNAPSHOT.sub(r"\1", written[2])
        self.tables.execute(f"copy ({query}) to '{written[1]}/part.parquet'")
        self.written.append(query)

    def ask(self, query: str) -> SparkAnswer:
        query = query.replace("partition.date_day", "day")
        query = re.sub(
            r"run_aa_marts\.fct_user_days\.files version as of (\d+)",
            r"(from days_of_snapshots where snapshot = \1)",
            query,
        )
        query = OF_SNAPSHOT.sub(r"\1", query)
        query = query.replace(
            "run_aa_marts.fct_user_days.snapshots", "(select snapshot as snapshot_id from days_of_snapshots)"
        )
        found = self.tables.execute(query)
        return SparkAnswer([name for name, *_ in found.description], found.fetchall())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load_settings(_env_file=None, warehouse_home=tmp_path, warehouse_target="spark")
    resolve_price_book(settings)
    return settings


@pytest.fixture
def cluster(settings: Settings) -> Iterator[Cluster]:
    """After a first build, which has come."""
    prepare_build(settings, "1", always=True)
    cluster = Cluster()
    cluster.set_day("2026-10-01", ("ada", "1"), ("bob", "0.000000000001"))
    cluster.set_day("2026-10-02", ("ada", "2"))
    cluster.set_day("2026-10-03", ("ada", "3"))
    imported(settings, cluster, cluster.snapshot(1, d1="a", d2="b", d3="c"))
    assert cluster.written == [
        "select * from run_aa_marts.fct_user_days",
        "select * from run_aa_marts.dim_users",
    ]
    cluster.written.clear()
    yield cluster
    cluster.tables.close()


def build_of(snapshots: dict[str, int]) -> PromotedBuild:
    return PromotedBuild("run_aa_", snapshots, 0, "f")


def imported(settings: Settings, cluster: Any, snapshots: dict[str, int]) -> dict[str, int]:
    """Bring, and see that what is here is what is there; how many days came of which mart."""
    said = import_marts(settings, cluster, build_of(snapshots), MARTS)
    rows = cluster.tables.execute(
        "select user_id, date_day, usage from run_aa_marts.fct_user_days order by all"
    ).fetchall()
    with duckdb.connect(str(settings.home.build_file), read_only=True) as here:
        assert here.execute("from marts.fct_user_days order by all").fetchall() == rows
        assert here.execute("from marts.dim_users").fetchall() == [("ada",)]
    assert said.rows == {"fct_user_days": len(rows), "dim_users": 1}
    assert said.left_on_cluster == []
    return said.days


def test_the_models_state_the_day_column_of_their_tables(settings: Settings) -> None:
    """Also as dbt parses them for DuckDB, which knows no partitions."""
    days = {name: day_of(node) for name, node in mart_nodes(Dbt(settings).prepare_manifest()).items()}
    assert {name: day for name, day in days.items() if day} == {
        "fct_credit_days": "date_day",
        "fct_credit_totals": "date_day",
        "fct_daily_revenue": "date_day",
        "fct_ledger_entries": "entry_date",
        "fct_provider_cost_days": "date_day",
        "fct_user_days": "date_day",
        "fct_user_months": "month_start",
        "fct_user_movements": "period_start",
        "fct_wallet_days": "date_day",
    }
    models = (PROJECT / "models" / "marts").rglob("*.sql")
    cut = {
        file.stem: re.findall(r"partition_by=day_partition\('(\w+)'\)", file.read_text(encoding="utf-8"))
        for file in models
    }
    assert {name: columns[0] for name, columns in cut.items() if columns} == {
        name: day for name, day in days.items() if day
    }


def test_models_that_are_not_on_the_cluster_have_a_result_in_dagster(settings: Settings) -> None:
    """Without one, Dagster skips the publication."""
    manifest = Dbt(settings).prepare_manifest()
    marts = {
        name
        for name, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and node["schema"] == "marts"
    }
    on_cluster = {node["unique_id"] for node in mart_nodes(manifest).values()}
    assert (
        marts - on_cluster == set(views_of_published_file(manifest)) == {"model.paywall_warehouse.rpt_focus"}
    )


def test_a_file_of_which_half_has_come_is_not_added_to_by_duckdb(
    settings: Settings, cluster: Cluster
) -> None:
    cluster.set_day("2026-10-02", ("ada", "2"), ("eve", "1"))
    cluster.tables.execute("drop table run_aa_marts.dim_users")
    spark: Any = cluster
    with pytest.raises(duckdb.CatalogException):
        import_marts(settings, spark, build_of(cluster.snapshot(2, d1="a", d2="e", d3="c")), MARTS)
    with duckdb.connect(str(settings.home.build_file)) as here:
        # As of a build that has ended.
        here.execute(
            "update ops.build_state set meaning = ?, code_version = '1'", [settings.semantics_digest()]
        )
        here.execute("create or replace table ops.built_models as select model, model_id from raw.models")
        here.execute(
            "create or replace table ops.built_rates as select * exclude (source) from raw.model_rates"
        )
        here.execute("create or replace table ops.built_markups as from raw.markups")
    assert not prepare_build(settings, "1", always=True).full_refresh
    assert prepare_build(
        settings.model_copy(update={"warehouse_target": "duckdb"}), "1", always=True
    ).full_refresh


def test_only_days_with_other_files_come_again(settings: Settings, cluster: Cluster) -> None:
    # A day changes, one is left without rows, one is new, one stays.
    cluster.set_day("2026-10-01", ("ada", "1"))
    cluster.set_day("2026-10-03")
    cluster.set_day("2026-10-04", ("eve", "4"))
    assert imported(settings, cluster, cluster.snapshot(2, d1="e", d2="b", d4="f")) == {"fct_user_days": 3}
    assert cluster.written == [
        (
            "select * from run_aa_marts.fct_user_days where date_day in (date '2026-10-01', date"
            " '2026-10-03', date '2026-10-04')"
        ),
        "select * from run_aa_marts.dim_users",
    ]
    cluster.written.clear()
    assert imported(settings, cluster, cluster.snapshot(2)) == {"fct_user_days": 0}
    assert cluster.written == ["select * from run_aa_marts.dim_users"]


def test_all_comes_where_the_cluster_has_forgotten_what_came(settings: Settings, cluster: Cluster) -> None:
    cluster.set_day("2026-10-02", ("ada", "5"))
    cluster.tables.execute("delete from days_of_snapshots")
    imported(settings, cluster, cluster.snapshot(2, d1="a", d2="e", d3="c"))
    assert cluster.written[0] == "select * from run_aa_marts.fct_user_days"


def test_all_comes_where_duckdb_has_built_since(settings: Settings, cluster: Cluster) -> None:
    with duckdb.connect(str(settings.home.build_file)) as here:
        here.execute("insert into marts.fct_user_days values ('eve', '2026-10-02', 7)")
    prepare_build(settings.model_copy(update={"warehouse_target": "duckdb"}), "1", always=True)
    imported(settings, cluster, cluster.snapshot(1))
    assert cluster.written[0] == "select * from run_aa_marts.fct_user_days"


def test_all_comes_where_it_stayed_on_the_cluster(settings: Settings, cluster: Cluster) -> None:
    few = settings.model_copy(update={"spark_publish_max_rows": 1})
    spark: Any = cluster
    said = import_marts(few, spark, build_of(cluster.snapshot(1)), MARTS)
    assert (said.rows, said.left_on_cluster) == ({"dim_users": 1}, ["fct_user_days"])
    cluster.written.clear()
    imported(settings, cluster, cluster.snapshot(1))
    assert cluster.written[0] == "select * from run_aa_marts.fct_user_days"


def test_rows_that_did_not_come_stop_the_run(settings: Settings, cluster: Cluster) -> None:
    """A day that changed without another file, which Iceberg does not do: nothing of it is kept."""
    cluster.set_day("2026-10-02", ("ada", "2"), ("eve", "1"))
    spark: Any = cluster
    with pytest.raises(RuntimeError, match="has 5 rows on the cluster, but 4 of them were imported"):
        import_marts(settings, spark, build_of(cluster.snapshot(2, d1="a", d2="b", d3="c")), MARTS)
    imported(settings, cluster, cluster.snapshot(3, d1="a", d2="g", d3="c"))
    assert cluster.written == [
        "select * from run_aa_marts.fct_user_days where date_day in (date '2026-10-02')",
        "select * from run_aa_marts.dim_users",
    ]
