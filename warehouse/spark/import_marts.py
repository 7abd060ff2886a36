"""Marts from a build on the cluster into the build file: whole, or only the days that changed since they came
last.

Which days did, Iceberg tells: those whose files are others than in the snapshot that came then, whatever a
build says of itself. The build file notes that snapshot with the rows, at once; who changes rows there by
other means than runs is not found out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.quoting import quoted
from paywall_warehouse.settings import Settings
from warehouse.build_file import ARRIVED, ON_CLUSTER
from warehouse.spark.builds import PromotedBuild, day_of, is_one_of
from warehouse.spark.connection import Spark
from warehouse.spark.exchange import Exchange, exchange_folder

ARRIVALS = (
    f"create table if not exists {ARRIVED} (mart varchar primary key, prefix varchar not null, snapshot"
    " bigint not null)"
)


@dataclass(frozen=True)
class ImportResult:
    """What came from the cluster into the build file."""

    rows: dict[str, int]
    """Of each mart, by its name."""
    left: list[str]
    """Marts with more rows than SPARK_PUBLISH_MAX_ROWS: they are read on the cluster."""
    days: dict[str, int]
    """Of each mart that did not come whole: the days that came."""


def import_marts(
    settings: Settings, spark: Spark, build: PromotedBuild, nodes: Mapping[str, Mapping[str, Any]]
) -> ImportResult:
    """Make the marts of the build file those of a build; `nodes` are the models of dbt's manifest, by
    name.
    """
    imported = ImportResult({}, [], {})
    with (
        exchange_folder(settings) as exchange,
        open_duckdb(settings.home.build_file, config=settings.duckdb_config()) as connection,
    ):
        connection.execute("create schema if not exists marts")
        # While it is there, a build of DuckDB's does not add to this file, whose marts are of different
        # builds until all have come.
        connection.execute(f"create schema if not exists {ON_CLUSTER}")
        connection.execute(ARRIVALS)
        for name, node in nodes.items():
            mart = _Mart(name, build, node)
            [(rows,)] = spark.ask(f"select count(*) from {build.mart(name)}").fetchall()
            connection.begin()
            connection.execute(f"drop table if exists {mart.described}")
            if rows > settings.spark_publish_max_rows:
                _leave(connection, mart)
                imported.left.append(name)
            else:
                days = _days_that_changed(connection, spark, mart)
                _import_mart(connection, spark, exchange, mart, days)
                [(arrived,)] = connection.execute(f"select count(*) from {mart.here}").fetchall()
                if arrived != rows:
                    raise RuntimeError(
                        f"{build.mart(name)} has {rows} rows on the cluster, {arrived} of them came: is"
                        " LAKE_URI this home's lake?"
                    )
                imported.rows[name] = rows
                if days is not None:
                    imported.days[name] = len(days)
            connection.execute(f"delete from {ARRIVED} where mart = ?", [name])
            if name in imported.rows and name in build.snapshots:
                connection.execute(
                    f"insert into {ARRIVED} values (?, ?, ?)", [name, build.prefix, build.snapshots[name]]
                )
            connection.commit()
        if not imported.left:
            connection.execute(f"drop schema {ON_CLUSTER}")
    return imported


@dataclass(frozen=True)
class _Mart:
    name: str
    build: PromotedBuild
    node: Mapping[str, Any]

    @property
    def here(self) -> str:
        return f"marts.{quoted(self.name)}"

    @property
    def described(self) -> str:
        """The empty table that stands for it where its rows stay on the cluster."""
        return f"{ON_CLUSTER}.{quoted(self.name)}"

    @property
    def columns(self) -> str:
        return ", ".join(
            f"{quoted(column)} {stated['data_type']}" for column, stated in self.node["columns"].items()
        )


def _leave(connection: duckdb.DuckDBPyConnection, mart: _Mart) -> None:
    connection.execute(f"drop table if exists {mart.here}")
    connection.execute(f"create table {mart.described} ({mart.columns})")


def _import_mart(
    connection: duckdb.DuckDBPyConnection,
    spark: Spark,
    exchange: Exchange,
    mart: _Mart,
    days: list[date] | None,
) -> None:
    if days == []:
        return
    day = day_of(mart.node)
    if days is None or day is None:
        where = ""
        connection.execute(f"drop table if exists {mart.here}")
        connection.execute(f"create table {mart.here} ({mart.columns})")
    else:
        where = f" where {is_one_of(day, days)}"
        connection.execute(f"delete from {mart.here}{where}")
    spark.run(
        f"insert overwrite directory '{exchange.location(mart.name)}' using parquet select * from"
        f" {mart.build.mart(mart.name)}{where}"
    )
    connection.execute(f"insert into {mart.here} by name select * from {exchange.parquet(mart.name)}")
    exchange.forget(mart.name)


def _days_that_changed(connection: duckdb.DuckDBPyConnection, spark: Spark, mart: _Mart) -> list[date] | None:
    """Days that are not as they were when the mart came last; None where that is not known, or it has no
    days.
    """
    day, snapshot = day_of(mart.node), mart.build.snapshots.get(mart.name)
    if day is None or snapshot is None:
        return None
    table = f"{mart.build.prefix}marts.{mart.name}"
    known = connection.execute(
        f"select snapshot from {ARRIVED} where mart = ? and prefix = ?", [mart.name, mart.build.prefix]
    ).fetchone()
    # A cluster may forget snapshots by itself.
    if (
        known is None
        or not spark.ask(f"select 1 from {table}.snapshots where snapshot_id = {known[0]}").fetchall()
    ):
        return None
    files = " union all ".join(
        f"select partition.{day} as day, file_path from {table}.files version as of {one}"
        for one in (known[0], snapshot)
    )
    once = f"select day, file_path from ({files}) group by day, file_path having count(*) = 1"
    return [day for (day,) in spark.ask(f"select distinct day from ({once}) order by day").fetchall()]
