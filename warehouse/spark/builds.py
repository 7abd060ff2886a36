"""From a build on the cluster to what its readers see: the views of the cluster's own `marts`.

A full build has schemas of its own. Where tables are Iceberg's, the builds after it go on in them, and what
is published is a snapshot of each table, which its view names: what is built meanwhile, or is left
half-built, is seen by nobody. Snapshots of earlier builds stay, with all files that only they name, so that
now and then a build begins with a copy, in schemas of its own. Parquet has no snapshots: there every build
that adds to another does.
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

LAYERS = ("raw", "build", "ops", "staging", "intermediate", "marts", "checks")
# Schemas of calls of dbt by hand (`warehouse.spark.engine`) are named so where a run's have its id.
TRIED = "try"
# What is shown now, and what was before: somebody may be reading it.
KEPT = 2
SHOWN, BUILT = "shown", "built"
ICEBERG, PARQUET = "iceberg", "parquet"


@dataclass(frozen=True)
class PromotedBuild:
    """A whole build on the cluster, as its `marts` show it."""

    prefix: str
    """What the names of its schemas begin with."""
    snapshots: dict[str, int]
    """Of its marts, by their name, where they are Iceberg's."""
    built_through: int
    """Its last batch."""
    fingerprint: str
    """As the published file states it (`warehouse.build.Build`)."""
    erased_at: str | None = None
    """When the last person was erased from the lake that it was built from (ISO 8601)."""
    added: int = 0
    """How many builds have added to its schemas, this one included, since they were made."""

    @property
    def table_format(self) -> str:
        """As SPARK_TABLE_FORMAT names it: only Iceberg's tables have snapshots, and some mart has rows."""
        return ICEBERG if self.snapshots else PARQUET

    def mart(self, name: str) -> str:
        """Spark SQL: one of its marts as it is shown, whatever has been built in that table since."""
        version = f" version as of {self.snapshots[name]}" if name in self.snapshots else ""
        return f"{self.prefix}marts.{name}{version}"


def prefix_of(settings: Settings, run_id: str) -> str:
    """What the names of the schemas begin with that a run builds anew."""
    return f"{settings.spark_schema_prefix}run_{run_id.replace('-', '')[:12]}_"


def day_of(node: Mapping[str, Any]) -> str | None:
    """The column by which the table of a model of dbt's manifest is cut into partitions on a cluster."""
    day: str | None = node["config"].get("meta", {}).get("day")
    return day


def is_one_of(day: str, days: Iterable[date | None]) -> str:
    """A condition, in the words of Spark and of DuckDB: the column holds one of some days, of which there is
    one at least.
    """
    listed = ", ".join(f"date '{one}'" for one in days)
    return f"{day} in ({listed})"


def snapshots(spark: Spark, prefix: str, marts: Iterable[str]) -> dict[str, int]:
    """The present snapshots of Iceberg's tables."""
    found = {
        name: spark.ask(f"select snapshot_id from {prefix}marts.{name}.refs where name = 'main'").fetchone()
        for name in marts
    }
    return {name: row[0] for name, row in found.items() if row}


def promote_build(
    settings: Settings, spark: Spark, build: PromotedBuild, nodes: Mapping[str, Mapping[str, Any]]
) -> None:
    """Let the cluster's `marts` show a build. One view after the other, each at once.

    The build before stays for who is reading it, unless it names somebody who has been erased since. `nodes`
    are the models of dbt's manifest by name: a view has its columns in their order, which a table with
    partitions has not.
    """
    shown = f"{settings.spark_schema_prefix}marts"
    spark.run(f"create schema if not exists {shown}")
    for name, node in nodes.items():
        spark.run(
            f"create or replace view {shown}.{name} as select {', '.join(node['columns'])} from"
            f" {build.mart(name)}"
        )
    before = [
        one for one in promoted_builds(settings.home) if one != build and one.erased_at == build.erased_at
    ]
    replace_text(
        _state_file(settings.home, SHOWN), json.dumps([asdict(one) for one in [build, *before][:KEPT]])
    )


def restore(spark: Spark, build: PromotedBuild, marts: Iterable[str]) -> None:
    """Take tables of Iceberg's back to how a build is shown, where a build that was not published has changed
    them since.

    By writing them anew: that needs none of Iceberg's procedures, which not every cluster has.
    """
    present = snapshots(spark, build.prefix, marts)
    for name, snapshot in present.items():
        table, shown = f"{build.prefix}marts.{name}", build.snapshots.get(name)
        if shown is None:
            spark.run(f"delete from {table}")
        elif snapshot != shown:
            spark.run(f"insert overwrite {table} select * from {build.mart(name)}")


def copy_marts(spark: Spark, build: PromotedBuild, prefix: str, days: Mapping[str, str]) -> None:
    """Begin a build with tables as they are shown: its own, so that what it replaces in them is seen by
    nobody else.

    `days` has the column by which each mart is cut into partitions, by the mart's name.
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
        # The partition comes last in both, and each is written anew as it was read: no row moves.
        spark.run(f"insert into {prefix}marts.{name} select * from {build.mart(name)}")


def drop_old_builds(
    settings: Settings, spark: Spark, prefix: str, before: Iterable[PromotedBuild] = ()
) -> None:
    """Drop the schemas of builds that are neither this one, nor shown, nor were until the last.

    Those of killed and refused builds, and of calls of dbt by hand, too; and those of `before`, whatever
    their names begin with.
    """
    kept = {prefix, *(build.prefix for build in promoted_builds(settings.home))}
    for gone in {build.prefix for build in before} - kept:
        for layer in LAYERS:
            spark.run(f"drop schema if exists {gone}{layer} cascade")
    ours = re.compile(
        f"({re.escape(settings.spark_schema_prefix)}(?:run_[0-9a-f]+|{TRIED})_)({'|'.join(LAYERS)})"
    )
    for name, *_ in spark.ask("show schemas").fetchall():
        found = ours.fullmatch(name)
        if found and found[1] not in kept:
            spark.run(f"drop schema if exists {name} cascade")


def promoted_builds(home: Home) -> list[PromotedBuild]:
    """What the cluster's `marts` show, and showed before: the latest first."""
    return _noted(home, SHOWN)


def builds_before_erasure(home: Home, erased_at: str | None) -> list[str]:
    """What the names of the schemas begin with of builds that are known, from before the last erasure."""
    known = [*promoted_builds(home), *_noted(home, BUILT)]
    return sorted({build.prefix for build in known if build.erased_at != erased_at})


def note_built(home: Home, build: PromotedBuild) -> None:
    """Remember a build that has come to its end, and is to be checked and shown."""
    replace_text(_state_file(home, BUILT), json.dumps([asdict(build)]))


def built(home: Home) -> PromotedBuild:
    """The build that came to its end last; raises `LookupError` where none did."""
    return _noted(home, BUILT)[0]


def _noted(home: Home, name: str) -> list[PromotedBuild]:
    with suppress(FileNotFoundError):
        return [
            PromotedBuild(**one) for one in json.loads(_state_file(home, name).read_text(encoding="utf-8"))
        ]
    return []


def _state_file(home: Home, name: str) -> Path:
    return home.root / "state" / f"cluster_{name}.json"
