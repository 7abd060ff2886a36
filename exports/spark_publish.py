"""From a build on the cluster to what readers see: tables for the published file, then the views of the cluster's own `marts`."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import duckdb

from exports.spark_books import Spark
from paywall_warehouse.files import replace_text
from paywall_warehouse.home import Home
from paywall_warehouse.quoting import file_literal, quoted
from paywall_warehouse.settings import Settings

LAYERS = ("raw", "build", "ops", "staging", "intermediate", "marts")
# Below the lake, which the cluster and this machine both reach; no table of the lake has such a name.
ASIDE = "_cluster"


def build_prefix(settings: Settings, run_id: str) -> str:
    """What the names of a build's schemas begin with."""
    return f"{settings.spark_schema_prefix}run_{run_id.replace('-', '')[:12]}_"


@dataclass(frozen=True)
class Brought:
    """What came from the cluster into the build file."""

    rows: dict[str, int]
    """Of each mart, by its name."""
    left: list[str]
    """Marts with more rows than SPARK_PUBLISH_MAX_ROWS: they are read on the cluster."""


def bring_marts(settings: Settings, spark: Spark, prefix: str, nodes: Mapping[str, Mapping[str, Any]]) -> Brought:
    """Replace the marts of the build file by those of a build; `nodes` are the models of dbt's manifest by name."""
    brought = Brought({}, [])
    with _aside(settings.home, prefix), duckdb.connect(str(settings.home.build_file), config=settings.duckdb_config()) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("create schema if not exists marts")
        for name, node in nodes.items():
            connection.execute(f"drop table if exists marts.{quoted(name)}")
            [(rows,)] = spark.ask(f"select count(*) from {prefix}marts.{name}").fetchall()
            if rows > settings.spark_publish_max_rows:
                brought.left.append(name)
                continue
            spark.run(
                f"insert overwrite directory '{settings.lake}/{ASIDE}/{prefix}/{name}' using parquet select * from {prefix}marts.{name}"
            )
            columns = ", ".join(f"{quoted(column)} {stated['data_type']}" for column, stated in node["columns"].items())
            connection.execute(f"create table marts.{quoted(name)} ({columns})")
            files = file_literal(str(settings.home.lake / ASIDE / prefix / name))[:-1] + "/*.parquet'"
            connection.execute(f"insert into marts.{quoted(name)} by name select * from read_parquet({files})")
            [(arrived,)] = connection.execute(f"select count(*) from marts.{quoted(name)}").fetchall()
            if arrived != rows:
                raise RuntimeError(
                    f"{prefix}marts.{name} has {rows} rows on the cluster, {arrived} of them came: is LAKE_URI this home's lake?"
                )
            brought.rows[name] = rows
    return brought


@contextmanager
def _aside(home: Home, prefix: str) -> Iterator[None]:
    """What the cluster writes for this machine; nothing of it stays, not even of builds that were killed."""
    shutil.rmtree(home.lake / ASIDE, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(home.lake / ASIDE / prefix, ignore_errors=True)


def switch_views(settings: Settings, spark: Spark, prefix: str) -> None:
    """Let the cluster's `marts` show a build. One view after the other, each at once; the build before stays for who is reading it."""
    shown = f"{settings.spark_schema_prefix}marts"
    spark.run(f"create schema if not exists {shown}")
    for name in _tables(spark, f"{prefix}marts"):
        spark.run(f"create or replace view {shown}.{name} as select * from {prefix}marts.{name}")
    replace_text(_shown_file(settings.home), json.dumps([prefix, *(one for one in _shown(settings.home) if one != prefix)][:2]))


def drop_old_builds(settings: Settings, spark: Spark, prefix: str) -> None:
    """Drop the schemas of builds that are neither this one, nor shown, nor were until the last: those of killed and refused ones too."""
    kept = {prefix, *_shown(settings.home)}
    ours = re.compile(f"({re.escape(settings.spark_schema_prefix)}run_[0-9a-f]+_)({'|'.join(LAYERS)})")
    for (
        name,
        *_,
    ) in spark.ask("show schemas").fetchall():
        found = ours.fullmatch(name)
        if found and found[1] not in kept:
            spark.run(f"drop schema if exists {name} cascade")


def _tables(spark: Spark, schema: str) -> list[str]:
    found = spark.ask(f"show tables in {schema}")
    place = [name for name, *_ in found.description].index("tableName")
    return sorted(row[place] for row in found.fetchall())


def _shown_file(home: Home) -> Any:
    return home.root / "state" / "cluster_builds.json"


def _shown(home: Home) -> list[str]:
    """The builds that the views show, and showed before: the latest first."""
    with suppress(FileNotFoundError):
        known: list[str] = json.loads(_shown_file(home).read_text(encoding="utf-8"))
        return known
    return []
