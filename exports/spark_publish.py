"""From a build on the cluster to what readers see: tables for the published file, then the views of the cluster's own `marts`.

A full build has schemas of its own. Where tables are Iceberg's, the builds after it go on in them, and what is published is a snapshot of
each table, which its view names: what is built meanwhile, or is left half-built, is seen by nobody. Parquet has no snapshots: there every
build has schemas of its own, and one that adds to another begins with a copy of what it adds to.
"""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from exports.aside import written_aside
from exports.spark_books import Spark
from paywall_warehouse.build_file import ON_CLUSTER
from paywall_warehouse.files import replace_text
from paywall_warehouse.home import Home
from paywall_warehouse.quoting import quoted
from paywall_warehouse.settings import Settings

LAYERS = ("raw", "build", "ops", "staging", "intermediate", "marts")
# What is shown now, and what was before: somebody may be reading it.
KEPT = 2
SHOWN, BUILT = "shown", "built"
ICEBERG, PARQUET = "iceberg", "parquet"


@dataclass(frozen=True)
class ShownBuild:
    """A whole build on the cluster, as its `marts` show it."""

    prefix: str
    """What the names of its schemas begin with."""
    snapshots: dict[str, int]
    """Of its marts, by their name, where they are Iceberg's."""
    built_through: int
    """Its last batch."""
    fingerprint: str
    """As the published file states it (`ingestion.build.Build`)."""

    @property
    def table_format(self) -> str:
        """As SPARK_TABLE_FORMAT names it: only Iceberg's tables have snapshots, and some mart has rows."""
        return ICEBERG if self.snapshots else PARQUET

    def mart(self, name: str) -> str:
        """Spark SQL: one of its marts as it is shown, whatever has been built in that table since."""
        version = f" version as of {self.snapshots[name]}" if name in self.snapshots else ""
        return f"{self.prefix}marts.{name}{version}"


@dataclass(frozen=True)
class Brought:
    """What came from the cluster into the build file."""

    rows: dict[str, int]
    """Of each mart, by its name."""
    left: list[str]
    """Marts with more rows than SPARK_PUBLISH_MAX_ROWS: they are read on the cluster."""


def prefix_of(settings: Settings, run_id: str) -> str:
    """What the names of the schemas begin with that a run builds anew."""
    return f"{settings.spark_schema_prefix}run_{run_id.replace('-', '')[:12]}_"


def snapshots(spark: Spark, prefix: str, marts: Iterable[str]) -> dict[str, int]:
    """The present snapshots of Iceberg's tables."""
    found = {name: spark.ask(f"select snapshot_id from {prefix}marts.{name}.refs where name = 'main'").fetchone() for name in marts}
    return {name: row[0] for name, row in found.items() if row}


def bring_marts(settings: Settings, spark: Spark, prefix: str, nodes: Mapping[str, Mapping[str, Any]]) -> Brought:
    """Replace the marts of the build file by those of a build; `nodes` are the models of dbt's manifest by name."""
    brought = Brought({}, [])
    with (
        written_aside(settings) as aside,
        duckdb.connect(str(settings.home.build_file), config=settings.duckdb_config()) as connection,
    ):
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("create schema if not exists marts")
        connection.execute(f"drop schema if exists {ON_CLUSTER} cascade")
        for name, node in nodes.items():
            connection.execute(f"drop table if exists marts.{quoted(name)}")
            columns = ", ".join(f"{quoted(column)} {stated['data_type']}" for column, stated in node["columns"].items())
            [(rows,)] = spark.ask(f"select count(*) from {prefix}marts.{name}").fetchall()
            if rows > settings.spark_publish_max_rows:
                connection.execute(f"create schema if not exists {ON_CLUSTER}")
                connection.execute(f"create table {ON_CLUSTER}.{quoted(name)} ({columns})")
                brought.left.append(name)
                continue
            spark.run(f"insert overwrite directory '{aside.location(name)}' using parquet select * from {prefix}marts.{name}")
            connection.execute(f"create table marts.{quoted(name)} ({columns})")
            connection.execute(f"insert into marts.{quoted(name)} by name select * from {aside.parquet(name)}")
            aside.forget(name)
            [(arrived,)] = connection.execute(f"select count(*) from marts.{quoted(name)}").fetchall()
            if arrived != rows:
                raise RuntimeError(
                    f"{prefix}marts.{name} has {rows} rows on the cluster, {arrived} of them came: is LAKE_URI this home's lake?"
                )
            brought.rows[name] = rows
    return brought


def show_build(settings: Settings, spark: Spark, build: ShownBuild, nodes: Mapping[str, Mapping[str, Any]]) -> None:
    """Let the cluster's `marts` show a build. One view after the other, each at once; the build before stays for who is reading it.

    `nodes` are the models of dbt's manifest by name: a view has its columns in their order, which a table with partitions has not.
    """
    shown = f"{settings.spark_schema_prefix}marts"
    spark.run(f"create schema if not exists {shown}")
    for name, node in nodes.items():
        spark.run(f"create or replace view {shown}.{name} as select {', '.join(node['columns'])} from {build.mart(name)}")
    kept = [build, *(one for one in shown_builds(settings.home) if one != build)][:KEPT]
    replace_text(_state_file(settings.home, SHOWN), json.dumps([asdict(one) for one in kept]))


def restore(spark: Spark, build: ShownBuild, marts: Iterable[str]) -> None:
    """Take tables of Iceberg's back to how a build is shown, where a build that was not published has changed them since.

    By writing them anew: that needs none of Iceberg's procedures, which not every cluster has.
    """
    present = snapshots(spark, build.prefix, marts)
    for name, snapshot in present.items():
        table, shown = f"{build.prefix}marts.{name}", build.snapshots.get(name)
        if shown is None:
            spark.run(f"delete from {table}")
        elif snapshot != shown:
            spark.run(f"insert overwrite {table} select * from {build.mart(name)}")


def copy_marts(spark: Spark, build: ShownBuild, prefix: str, marts: Iterable[str]) -> None:
    """Begin a build on Parquet with tables as they are shown: its own, so that what it replaces in them is seen by nobody else."""
    spark.run(f"create schema if not exists {prefix}marts")
    for name in marts:
        spark.run(f"create table {prefix}marts.{name} like {build.mart(name)}")
        # The partition comes last in both, and each is written anew as it was read: no row moves.
        spark.run(f"insert into {prefix}marts.{name} select * from {build.mart(name)}")


def drop_old_builds(settings: Settings, spark: Spark, prefix: str) -> None:
    """Drop the schemas of builds that are neither this one, nor shown, nor were until the last: those of killed and refused ones too."""
    kept = {prefix, *(build.prefix for build in shown_builds(settings.home))}
    ours = re.compile(f"({re.escape(settings.spark_schema_prefix)}run_[0-9a-f]+_)({'|'.join(LAYERS)})")
    for name, *_ in spark.ask("show schemas").fetchall():
        found = ours.fullmatch(name)
        if found and found[1] not in kept:
            spark.run(f"drop schema if exists {name} cascade")


def shown_builds(home: Home) -> list[ShownBuild]:
    """What the cluster's `marts` show, and showed before: the latest first."""
    return _noted(home, SHOWN)


def note_built(home: Home, build: ShownBuild) -> None:
    """Remember a build that has come to its end, and is to be checked and shown."""
    replace_text(_state_file(home, BUILT), json.dumps([asdict(build)]))


def built(home: Home) -> ShownBuild:
    """The build that came to its end last; raises `LookupError` where none did."""
    return _noted(home, BUILT)[0]


def _noted(home: Home, name: str) -> list[ShownBuild]:
    with suppress(FileNotFoundError):
        return [ShownBuild(**one) for one in json.loads(_state_file(home, name).read_text(encoding="utf-8"))]
    return []


def _state_file(home: Home, name: str) -> Path:
    return home.root / "state" / f"cluster_{name}.json"
