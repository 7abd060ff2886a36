"""Builds on a cluster: the lake is shown to it, dbt builds and tests the same models there, and the marts
come back.

`python -m warehouse.spark.engine WORDS…` is a call of dbt on schemas of its own, such as `run`, then `test
--select test_type:unit`; what it builds, it builds anew.
"""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import duckdb

from exports.datasets import Dataset, published_table
from ingestion.lake.erasures import read_registry
from orchestration.resources import exclusive
from paywall_warehouse.settings import Settings, load_settings
from paywall_warehouse.sizes import size
from paywall_warehouse.uris import shown_uri
from warehouse.build import Build
from warehouse.build_file import published_state
from warehouse.checks.build_checks import check_query
from warehouse.dbt_runner import Dbt, DbtBuild, DbtError, build_command
from warehouse.price_book import resolve_price_book
from warehouse.published import NotPublishedError
from warehouse.spark.builds import (
    ICEBERG,
    TRIED,
    PromotedBuild,
    built,
    copy_marts,
    day_of,
    drop_old_builds,
    note_built,
    prefix_of,
    promote_build,
    promoted_builds,
    restore,
    snapshots,
)
from warehouse.spark.connection import Spark
from warehouse.spark.import_marts import import_marts
from warehouse.spark.lake_copy import copy_lake
from warehouse.spark.mart import ClusterMart
from warehouse.spark.source_statements import calendar_question, cluster_statements, state_statements

SPARK = "spark"


class ClusterBuild:
    """What one run builds on the cluster; what readers see does not change before `show`."""

    def __init__(self, settings: Settings, run_id: str, plan: Build) -> None:
        self._settings, self._run_id, self._plan = settings, run_id, plan

    @cached_property
    def _base(self) -> PromotedBuild | None:
        """The build that this one adds to; None where it builds everything anew."""
        published = published_state(self._settings.home)
        if self._plan.full_refresh or published is None:
            return None
        # The latest first: another one may have come from the same lake on the same day, with other rates.
        base = next(
            (one for one in promoted_builds(self._settings.home) if one.fingerprint == published.fingerprint),
            None,
        )
        return base if base and base.table_format == self._settings.spark_table_format else None

    @property
    def _goes_on_in(self) -> PromotedBuild | None:
        """The build whose own tables it changes; None where it has tables of its own."""
        base = self._base
        return (
            base
            if base and base.table_format == ICEBERG and base.added < self._settings.spark_copy_every
            else None
        )

    @property
    def prefix(self) -> str:
        """What the names of its schemas begin with."""
        return self._goes_on_in.prefix if self._goes_on_in else prefix_of(self._settings, self._run_id)

    @property
    def _dbt(self) -> Dbt:
        return Dbt(self._settings, target=SPARK, schema_prefix=self.prefix)

    def build(self, manifest: Mapping[str, Any], progress: Callable[[str], None]) -> DbtBuild:
        """Build what is new, or everything, and test it on the cluster; where all holds, the marts replace
        those of the build file.
        """
        settings, base, marts = self._settings, self._base, mart_nodes(manifest)
        self._dbt.operate("prepare_cluster", questions=[calendar_question(settings)], statements=[])
        spark = Spark(settings)
        # Where it is not known what is shown, such as in a home that came back from a backup, that is found
        # out when this build is.
        if promoted_builds(settings.home):
            drop_old_builds(settings, spark, self.prefix)
        if base:
            days = {name: day for name, node in marts.items() if (day := day_of(node))}
            if base.table_format == ICEBERG:
                restore(spark, base, days)
            if not self._goes_on_in:
                copy_marts(spark, base, self.prefix, days)
        if copied := copy_lake(settings):
            progress(f"{size(copied)} of the lake copied to {shown_uri(settings.lake)}")
        built_through = base.built_through if base else -1
        for statement in cluster_statements(settings, self.prefix, built_through, self._plan.through_batch):
            spark.run(statement)
        done = self._dbt.build(manifest, build_command(full_refresh=base is None), progress)
        if done.failures:
            return done
        for statement in state_statements(self.prefix, self._plan.through_batch, full_refresh=base is None):
            spark.run(statement)
        pinned = snapshots(spark, self.prefix, marts) if settings.spark_table_format == ICEBERG else {}
        build = PromotedBuild(
            prefix=self.prefix,
            snapshots=pinned,
            built_through=self._plan.through_batch,
            fingerprint=self._plan.fingerprint,
            erased_at=read_registry(settings.home).erased_at,
            added=self._goes_on_in.added + 1 if self._goes_on_in else 0,
        )
        imported = import_marts(settings, spark, build, marts)
        note_built(settings.home, build)
        Dbt(settings).operate("describe_marts")
        if imported.days:
            progress(
                "days brought back: " + ", ".join(f"{name} {days}" for name, days in imported.days.items())
            )
        for name in imported.left:
            progress(
                f"marts.{name} has more than SPARK_PUBLISH_MAX_ROWS rows: it is read on the cluster, and is"
                " not in the published file"
            )
        done.row_counts = {marts[name]["unique_id"]: rows for name, rows in imported.rows.items()}
        return done


class ClusterPublication:
    """What has been built on the cluster, to be checked and shown; perhaps by another process than the one
    that built it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._build = settings, built(settings.home)
        with duckdb.connect(str(settings.home.build_file), config=settings.duckdb_config()) as connection:
            [(fingerprint,)] = connection.execute("select fingerprint from ops.build_state").fetchall()
        if fingerprint != self._build.fingerprint:
            raise NotPublishedError(
                "The build file is not what came from the cluster last, but DuckDB's: run the job `refresh`."
            )
        self._spark = _connected(settings, self._build.prefix)

    def read_check(self, model: str) -> Sequence[Sequence[Any]]:
        """Return the rows of a check model of the build."""
        return self._spark.ask(check_query(model, self._build.prefix)).fetchall()

    def show(self) -> None:
        """Let the cluster's `marts` show the build; none stays there that still names an erased person."""
        marts = mart_nodes(Dbt(self._settings).prepare_manifest())
        before = promoted_builds(self._settings.home)
        promote_build(self._settings, self._spark, self._build, marts)
        drop_old_builds(self._settings, self._spark, self._build.prefix, before)


def mart_on_cluster(
    settings: Settings, connection: duckdb.DuckDBPyConnection, dataset: Dataset
) -> ClusterMart | None:
    """A published mart whose rows stayed on the cluster, None for others; `connection` is to the published
    file.

    Raises `NotPublishedError` where the cluster does not show the build that was published.
    """
    table = published_table(connection, dataset)
    if not table.is_on_cluster:
        return None
    [(fingerprint,)] = connection.execute("select fingerprint from ops.build_state").fetchall()
    build = next((one for one in promoted_builds(settings.home) if one.fingerprint == fingerprint), None)
    if build is None:
        raise NotPublishedError(
            f"The cluster does not show the build whose marts.{dataset.mart} is published: `paywall-warehouse"
            " run`."
        )
    return ClusterMart(settings, _connected(settings, build.prefix), build, dataset, table)


def _connected(settings: Settings, prefix: str) -> Spark:
    """A connection whose session has the settings of builds. With `session` there is one, which dbt starts
    here.
    """
    if settings.spark_method == "session":
        Dbt(settings, target=SPARK, schema_prefix=prefix).operate(
            "prepare_cluster", questions=[], statements=[]
        )
    return Spark(settings)


def mart_nodes(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The models of dbt's manifest that readers see, by name."""
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    return {node["alias"]: node for node in models if node["schema"] == "marts"}


def main() -> None:
    """A call of dbt on the cluster that the settings name; runs wait for its end, and the next one drops what
    it built.
    """
    settings = load_settings()
    if settings.warehouse_target != SPARK:
        sys.exit("Set WAREHOUSE_TARGET=spark to build on a cluster.")
    with exclusive(settings.home, "dbt by hand", None, logging.getLogger(__name__)):
        _called_by_hand(settings)


def _called_by_hand(settings: Settings) -> None:
    prefix = f"{settings.spark_schema_prefix}{TRIED}_"
    tried = Dbt(settings, target=SPARK, schema_prefix=prefix)
    try:
        # A home may never have run; models read the price book.
        resolve_price_book(settings)
        copy_lake(settings)
        tried.operate(
            "prepare_cluster",
            questions=[calendar_question(settings)],
            statements=cluster_statements(settings, prefix),
        )
        words = sys.argv[1:]
        done = tried.build({}, words if words[:1] == ["test"] else [*words, "--full-refresh"], print)
    except DbtError as error:
        sys.exit(str(error))
    if done.failures:
        sys.exit("\n\n".join(failure.describe() for failure in done.failures))
    print(f"{done.models} models built, {done.tests} tests hold")


if __name__ == "__main__":
    main()
