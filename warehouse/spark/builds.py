"""Builds on the cluster, and their promotion to the schema `marts` that readers of the cluster query.

A full build has schemas of its own. With Iceberg, the incremental builds after it change the same tables.
Each view in `marts` names the snapshot of its table that was promoted, so readers never see a running or
unfinished build. Iceberg keeps old snapshots and the files that only they need. To let those go, some
incremental builds start with a copy in schemas of their own. Parquet has no snapshots, so there every
incremental build starts with a copy.
"""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from paywall_warehouse.files import replace_text
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from warehouse.spark.connection import Spark

LAYERS = ("raw", "build", "ops", "staging", "intermediate", "marts")
# In the names of the schemas of the command `dbt`, this replaces the id of the run.
AD_HOC = "try"
# The promoted build and the one before it, which a query may still be reading.
PROMOTED_BUILDS = 2
# Parts of the names of the state files.
PROMOTED, FINISHED = "shown", "built"
ICEBERG, PARQUET = "iceberg", "parquet"


@dataclass(frozen=True)
class PromotedBuild:
    """A finished build on the cluster that is promoted or can be."""

    prefix: str
    """The prefix of the names of its schemas."""
    snapshots: dict[str, int]
    """The snapshot of each mart with rows, by name; empty for Parquet."""
    built_through: int
    """Its last batch."""
    fingerprint: str
    """The fingerprint of the build (`warehouse.build.Build`), as in the published file."""
    erased_at: str | None = None
    """The time of the last erasure from the lake that it was built from (ISO 8601)."""
    added: int = 0
    """The number of incremental builds in its schemas since their first build, this one included."""

    @property
    def table_format(self) -> str:
        """The value of SPARK_TABLE_FORMAT. Only Iceberg has snapshots, and at least one mart has rows."""
        return ICEBERG if self.snapshots else PARQUET

    def mart(self, name: str) -> str:
        """Return Spark SQL: one of its marts, without the changes of later builds in the same table."""
        version = f" version as of {self.snapshots[name]}" if name in self.snapshots else ""
        return f"{self.prefix}marts.{name}{version}"


def run_prefix(schema_prefix: str, run_id: str) -> str:
    """Return the prefix of a run's own schemas. `schema_prefix` is SPARK_SCHEMA_PREFIX."""
    return f"{schema_prefix}run_{run_id.replace('-', '')[:12]}_"


def day_of(node: Mapping[str, Any]) -> str | None:
    """Return the column by which a model's table is partitioned on a cluster. `node` is of dbt's manifest."""
    day: str | None = node["config"].get("meta", {}).get("day")
    return day


def day_in(day: str, days: Iterable[date | None]) -> str:
    """Return a condition for Spark and DuckDB: the column has one of the days. `days` must not be empty."""
    listed = ", ".join(f"date '{one}'" for one in days)
    return f"{day} in ({listed})"


def snapshots(spark: Spark, prefix: str, marts: Iterable[str]) -> dict[str, int]:
    """Return the current snapshots of Iceberg tables. Tables that never had a row have none."""
    found = {
        name: spark.ask(f"select snapshot_id from {prefix}marts.{name}.refs where name = 'main'").fetchone()
        for name in marts
    }
    return {name: row[0] for name, row in found.items() if row}


def promote_build(
    settings: Settings, spark: Spark, build: PromotedBuild, nodes: Mapping[str, Mapping[str, Any]]
) -> None:
    """Replace the views in the cluster's `marts` with views of a build. Each view is replaced atomically.

    The build before it is kept for running queries, unless it names a person who was erased since. `nodes`
    are the marts of dbt's manifest by name. They give the order of the columns, because a partitioned table
    has the partition column last.
    """
    marts = f"{settings.spark_schema_prefix}marts"
    spark.run(f"create schema if not exists {marts}")
    for name, node in nodes.items():
        spark.run(
            f"create or replace view {marts}.{name} as select {', '.join(node['columns'])} from"
            f" {build.mart(name)}"
        )
    before = [
        one for one in promoted_builds(settings.home) if one != build and one.erased_at == build.erased_at
    ]
    promoted = [asdict(one) for one in [build, *before][:PROMOTED_BUILDS]]
    replace_text(_state_file(settings.home, PROMOTED), json.dumps(promoted))


def restore(spark: Spark, build: PromotedBuild, marts: Iterable[str]) -> None:
    """Undo the changes of unpublished builds in the Iceberg tables of a promoted build.

    The tables are rewritten, because not every cluster has Iceberg's procedures.
    """
    present = snapshots(spark, build.prefix, marts)
    for name, snapshot in present.items():
        table, promoted = f"{build.prefix}marts.{name}", build.snapshots.get(name)
        if promoted is None:
            spark.run(f"delete from {table}")
        elif snapshot != promoted:
            spark.run(f"insert overwrite {table} select * from {build.mart(name)}")


def copy_marts(spark: Spark, build: PromotedBuild, prefix: str, days: Mapping[str, str]) -> None:
    """Copy the partitioned marts of a promoted build to the schemas of a new build.

    The new build changes its own tables, so readers do not see the changes. `days` is the partition column of
    each mart, by the mart's name.
    """
    spark.run(f"create schema if not exists {prefix}marts")
    for name, day in days.items():
        if build.table_format == ICEBERG:
            spark.run(
                f"create table {prefix}marts.{name} using iceberg partitioned by ({day}) as select * from"
                f" {build.mart(name)}"
            )
            continue
        spark.run(f"create table {prefix}marts.{name} like {build.mart(name)}")
        # Both tables have the partition column last. Partitions are written as they are read, without
        # shuffle.
        spark.run(f"insert into {prefix}marts.{name} select * from {build.mart(name)}")


def drop_old_builds(
    settings: Settings, spark: Spark, prefix: str, before: Iterable[PromotedBuild] = ()
) -> None:
    """Drop the schemas of all builds except this one and the promoted ones (`promoted_builds`).

    Killed builds, refused builds and those of the command `dbt` are recognized by SPARK_SCHEMA_PREFIX. The
    builds in `before` are dropped with any prefix.
    """
    kept = {prefix, *(build.prefix for build in promoted_builds(settings.home))}
    for gone in {build.prefix for build in before} - kept:
        for layer in LAYERS:
            spark.run(f"drop schema if exists {gone}{layer} cascade")
    ours = re.compile(
        f"({re.escape(settings.spark_schema_prefix)}(?:run_[0-9a-f]+|{AD_HOC})_)({'|'.join(LAYERS)})"
    )
    for name, *_ in spark.ask("show schemas").fetchall():
        found = ours.fullmatch(name)
        if found and found[1] not in kept:
            spark.run(f"drop schema if exists {name} cascade")


def promoted_builds(home: Home) -> list[PromotedBuild]:
    """Return the promoted build, then the one before it."""
    return _read_state(home, PROMOTED)


def builds_before_erasure(home: Home, erased_at: str | None) -> list[str]:
    """Return the schema prefixes of the known builds from before the last erasure."""
    known = [*promoted_builds(home), *_read_state(home, FINISHED)]
    return sorted({build.prefix for build in known if build.erased_at != erased_at})


def record_finished_build(home: Home, build: PromotedBuild) -> None:
    """Record a finished build that will be checked and promoted."""
    replace_text(_state_file(home, FINISHED), json.dumps([asdict(build)]))


def last_finished_build(home: Home) -> PromotedBuild:
    """Return the last finished build. Raises `LookupError` if there is none."""
    return _read_state(home, FINISHED)[0]


def _read_state(home: Home, name: str) -> list[PromotedBuild]:
    with suppress(FileNotFoundError):
        return [
            PromotedBuild(**one) for one in json.loads(_state_file(home, name).read_text(encoding="utf-8"))
        ]
    return []


def _state_file(home: Home, name: str) -> Path:
    return home.root / "state" / f"cluster_{name}.json"
