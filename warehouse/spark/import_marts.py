"""The import of marts from the cluster into the build file: in full, or only the days that have changed.

Iceberg's metadata gives the changed days: those whose files differ from the snapshot that was imported last.
The build file records that snapshot in the same transaction as the rows. Changes to the rows of the build
file by other means than runs are not detected.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.quoting import quoted
from paywall_warehouse.settings import Settings
from warehouse.build_file import IMPORTED_SNAPSHOTS, ON_CLUSTER
from warehouse.spark.builds import PromotedBuild, day_in, day_of
from warehouse.spark.connection import Spark
from warehouse.spark.exchange import Exchange, exchange_folder

CREATE_IMPORTED_SNAPSHOTS = f"""
create table if not exists {IMPORTED_SNAPSHOTS} (
    mart varchar primary key, prefix varchar not null, snapshot bigint not null
)
"""


@dataclass(frozen=True)
class ImportResult:
    """The result of an import."""

    rows: dict[str, int]
    """The number of rows of each imported mart, by its name."""
    left_on_cluster: list[str]
    """The marts with more rows than SPARK_PUBLISH_MAX_ROWS. They are read on the cluster."""
    days: dict[str, int]
    """The number of imported days of each mart that was not imported in full, by its name."""


def import_marts(
    settings: Settings, spark: Spark, build: PromotedBuild, nodes: Mapping[str, Mapping[str, Any]]
) -> ImportResult:
    """Replace the marts of the build file with those of a build. `nodes` are the marts of dbt's manifest."""
    imported = ImportResult({}, [], {})
    with (
        exchange_folder(settings) as exchange,
        open_duckdb(settings.home.build_file, config=settings.duckdb_config()) as connection,
    ):
        connection.execute("create schema if not exists marts")
        # Until all marts are imported, they belong to different builds. While this schema exists, DuckDB does
        # not build on this file.
        connection.execute(f"create schema if not exists {ON_CLUSTER}")
        connection.execute(CREATE_IMPORTED_SNAPSHOTS)
        for name, node in nodes.items():
            mart = _Mart(name, build, node)
            [(rows,)] = spark.ask(f"select count(*) from {build.mart(name)}").fetchall()
            connection.begin()
            connection.execute(f"drop table if exists {mart.described}")
            if rows > settings.spark_publish_max_rows:
                _describe(connection, mart)
                imported.left_on_cluster.append(name)
            else:
                days = _days_that_changed(connection, spark, mart)
                _import_mart(connection, spark, exchange, mart, days)
                [(imported_rows,)] = connection.execute(f"select count(*) from {mart.local}").fetchall()
                if imported_rows != rows:
                    raise RuntimeError(
                        f"{build.mart(name)} has {rows} rows on the cluster, but {imported_rows} of them were"
                        " imported. Check that LAKE_URI is the lake of this home."
                    )
                imported.rows[name] = rows
                if days is not None:
                    imported.days[name] = len(days)
            connection.execute(f"delete from {IMPORTED_SNAPSHOTS} where mart = ?", [name])
            if name in imported.rows and name in build.snapshots:
                connection.execute(
                    f"insert into {IMPORTED_SNAPSHOTS} values (?, ?, ?)",
                    [name, build.prefix, build.snapshots[name]],
                )
            connection.commit()
        if not imported.left_on_cluster:
            connection.execute(f"drop schema {ON_CLUSTER}")
    return imported


@dataclass(frozen=True)
class _Mart:
    name: str
    build: PromotedBuild
    node: Mapping[str, Any]

    @property
    def local(self) -> str:
        return f"marts.{quoted(self.name)}"

    @property
    def described(self) -> str:
        """The empty table that describes the mart if its rows stay on the cluster."""
        return f"{ON_CLUSTER}.{quoted(self.name)}"

    @property
    def columns(self) -> str:
        return ", ".join(
            f"{quoted(column)} {stated['data_type']}" for column, stated in self.node["columns"].items()
        )


def _describe(connection: duckdb.DuckDBPyConnection, mart: _Mart) -> None:
    connection.execute(f"drop table if exists {mart.local}")
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
        connection.execute(f"drop table if exists {mart.local}")
        connection.execute(f"create table {mart.local} ({mart.columns})")
    else:
        where = f" where {day_in(day, days)}"
        connection.execute(f"delete from {mart.local}{where}")
    spark.run(
        f"insert overwrite directory '{exchange.location(mart.name)}' using parquet select * from"
        f" {mart.build.mart(mart.name)}{where}"
    )
    connection.execute(f"insert into {mart.local} by name select * from {exchange.parquet(mart.name)}")
    exchange.forget(mart.name)


def _days_that_changed(connection: duckdb.DuckDBPyConnection, spark: Spark, mart: _Mart) -> list[date] | None:
    """Return the days that have changed since the last import; None if the mart must be imported in full."""
    day, snapshot = day_of(mart.node), mart.build.snapshots.get(mart.name)
    if day is None or snapshot is None:
        return None
    table = f"{mart.build.prefix}marts.{mart.name}"
    known = connection.execute(
        f"select snapshot from {IMPORTED_SNAPSHOTS} where mart = ? and prefix = ?",
        [mart.name, mart.build.prefix],
    ).fetchone()
    # The cluster may have expired the snapshot.
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
