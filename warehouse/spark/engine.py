"""The Spark engine: dbt builds and tests the same models on a cluster, and the marts are imported into the
build file.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from ingestion.lake.erasures import read_registry
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings
from paywall_warehouse.sizes import size
from paywall_warehouse.uris import shown_uri
from warehouse.build_file import published_state
from warehouse.checks.build_checks import CheckRows, check_query
from warehouse.dbt_runner import PROJECT, Dbt, DbtBuild, build_command
from warehouse.engine import EngineError, Progress
from warehouse.plan import Build
from warehouse.price_book import resolve_price_book
from warehouse.published import NotPublishedError
from warehouse.published_tables import published_table
from warehouse.spark.builds import (
    AD_HOC,
    ICEBERG,
    PromotedBuild,
    copy_marts,
    day_of,
    drop_old_builds,
    last_finished_build,
    promote_build,
    promoted_builds,
    record_finished_build,
    restore,
    run_prefix,
    snapshots,
)
from warehouse.spark.connection import Spark
from warehouse.spark.import_marts import import_marts
from warehouse.spark.lake_copy import copy_lake
from warehouse.spark.mart import ClusterMart
from warehouse.spark.source_statements import cluster_statements, state_statements, time_zone_check

SPARK = "spark"


class SparkEngine:
    """See `Engine`. Each full build has schemas of its own; readers of the cluster keep what they see until
    the build is promoted.
    """

    def __init__(self, settings: Settings, project: Path = PROJECT) -> None:
        self._settings, self._project = settings, project

    def check_selection(self, *, is_subset: bool) -> None:
        """See `Engine`; a cluster builds all models or none."""
        if is_subset:
            raise EngineError("On a cluster all models are built, or none.")

    def build(
        self,
        plan: Build,
        run_id: str,
        manifest: Mapping[str, Any],
        selection: Sequence[str],
        progress: Progress,
    ) -> DbtBuild:
        """See `Engine`. If every test holds, the marts replace those of the build file."""
        return _ClusterBuild(self._settings, self._project, run_id, plan).build(manifest, progress)

    def candidate(self) -> "SparkCandidate":
        """See `Engine`."""
        return SparkCandidate(self._settings, self._project)

    def remote_mart(
        self, published: duckdb.DuckDBPyConnection, mart: str, day: str | None
    ) -> ClusterMart | None:
        """See `Engine`."""
        table = published_table(published, mart)
        if not table.is_on_cluster:
            return None
        [(fingerprint,)] = published.execute("select fingerprint from ops.build_state").fetchall()
        builds = promoted_builds(self._settings.home)
        build = next((one for one in builds if one.fingerprint == fingerprint), None)
        if build is None:
            raise NotPublishedError(
                f"The cluster does not have the build whose marts.{mart} is published. Run"
                " `paywall-warehouse run`."
            )
        spark = _connect(self._settings, self._project, build.prefix)
        return ClusterMart(self._settings, spark, build, mart, day, table)

    def run_dbt(self, words: Sequence[str], progress: Progress) -> DbtBuild:
        """See `Engine`; works in schemas of its own, which the next run drops. Always builds in full."""
        settings = self._settings
        prefix = f"{settings.spark_schema_prefix}{AD_HOC}_"
        dbt = Dbt(settings, self._project, target=SPARK, schema_prefix=prefix)
        # The home may never have run, and models read the price book.
        resolve_price_book(settings)
        copy_lake(settings)
        dbt.run_operation(
            "prepare_cluster",
            questions=[time_zone_check(settings)],
            statements=cluster_statements(settings, prefix),
        )
        command = list(words) if words[:1] == ["test"] else [*words, "--full-refresh"]
        return dbt.build({}, command, progress)


class SparkCandidate:
    """The last finished build on the cluster. See `Candidate`."""

    def __init__(self, settings: Settings, project: Path) -> None:
        self._settings, self._project, self._build = settings, project, last_finished_build(settings.home)
        with open_duckdb(settings.home.build_file, config=settings.duckdb_config()) as connection:
            [(fingerprint,)] = connection.execute("select fingerprint from ops.build_state").fetchall()
        if fingerprint != self._build.fingerprint:
            raise NotPublishedError(
                "DuckDB changed the build file after the last build on the cluster. Run the job `refresh`."
            )
        self._spark = _connect(settings, project, self._build.prefix)

    def read_check(self, build_file: duckdb.DuckDBPyConnection, model: str) -> CheckRows:
        """See `Candidate`; read on the cluster."""
        return self._spark.ask(check_query(model, self._build.prefix)).fetchall()

    def promote(self) -> None:
        """See `Candidate`; drops older builds, which may name an erased person."""
        marts = mart_nodes(Dbt(self._settings, self._project).prepare_manifest())
        before = promoted_builds(self._settings.home)
        promote_build(self._settings, self._spark, self._build, marts)
        drop_old_builds(self._settings, self._spark, self._build.prefix, before)


class _ClusterBuild:
    """The build of one run on the cluster."""

    def __init__(self, settings: Settings, project: Path, run_id: str, plan: Build) -> None:
        self._settings, self._project, self._run_id, self._plan = settings, project, run_id, plan

    @cached_property
    def _base(self) -> PromotedBuild | None:
        """The promoted build that this build starts from; None for a full build."""
        published = published_state(self._settings.home)
        if self._plan.full_refresh or published is None:
            return None
        # The latest first: an earlier build may have the same fingerprint, but other rates.
        base = next(
            (one for one in promoted_builds(self._settings.home) if one.fingerprint == published.fingerprint),
            None,
        )
        return base if base and base.table_format == self._settings.spark_table_format else None

    @property
    def _extended(self) -> PromotedBuild | None:
        """The build whose tables this build changes; None if it has tables of its own."""
        base = self._base
        return (
            base
            if base and base.table_format == ICEBERG and base.added < self._settings.spark_copy_every
            else None
        )

    @property
    def prefix(self) -> str:
        """The prefix of the names of its schemas."""
        return (
            self._extended.prefix
            if self._extended
            else run_prefix(self._settings.spark_schema_prefix, self._run_id)
        )

    @property
    def _dbt(self) -> Dbt:
        return Dbt(self._settings, self._project, target=SPARK, schema_prefix=self.prefix)

    def build(self, manifest: Mapping[str, Any], progress: Callable[[str], None]) -> DbtBuild:
        """Build and test on the cluster, incrementally or in full. If all tests pass, import the marts."""
        settings, base, marts = self._settings, self._base, mart_nodes(manifest)
        self._dbt.run_operation("prepare_cluster", questions=[time_zone_check(settings)], statements=[])
        spark = Spark(settings)
        # If no promoted build is known, such as in a home restored from a backup, old builds are dropped only
        # when this build is promoted.
        if promoted_builds(settings.home):
            drop_old_builds(settings, spark, self.prefix)
        if base:
            day_columns = {name: day for name, node in marts.items() if (day := day_of(node))}
            if base.table_format == ICEBERG:
                restore(spark, base, day_columns)
            if not self._extended:
                copy_marts(spark, base, self.prefix, day_columns)
        if copied := copy_lake(settings):
            progress(f"{size(copied)} of the lake copied to {shown_uri(settings.lake)}")
        built_through = base.built_through if base else -1
        for statement in cluster_statements(settings, self.prefix, built_through, self._plan.through_batch):
            spark.run(statement)
        done = self._dbt.build(manifest, build_command(full_refresh=base is None), progress)
        if done.failures:
            return done
        # Dagster expects a result of every model, and would skip the publication without it.
        done.unused = views_of_published_file(manifest)
        for statement in state_statements(self.prefix, self._plan.through_batch, full_refresh=base is None):
            spark.run(statement)
        pinned = snapshots(spark, self.prefix, marts) if settings.spark_table_format == ICEBERG else {}
        build = PromotedBuild(
            prefix=self.prefix,
            snapshots=pinned,
            built_through=self._plan.through_batch,
            fingerprint=self._plan.fingerprint,
            erased_at=read_registry(settings.home).erased_at,
            added=self._extended.added + 1 if self._extended else 0,
        )
        imported = import_marts(settings, spark, build, marts)
        record_finished_build(settings.home, build)
        Dbt(settings, self._project).run_operation("describe_marts")
        if imported.days:
            days = ", ".join(f"{name} {count}" for name, count in imported.days.items())
            progress(f"days imported: {days}")
        for name in imported.left_on_cluster:
            progress(
                f"marts.{name} has more than SPARK_PUBLISH_MAX_ROWS rows: it stays on the cluster, and is not"
                " in the published file"
            )
        done.row_counts = {marts[name]["unique_id"]: rows for name, rows in imported.rows.items()}
        return done


def _connect(settings: Settings, project: Path, prefix: str) -> Spark:
    """Connect with the session settings of builds. With SPARK_METHOD `session`, dbt starts the session."""
    if settings.spark_method == "session":
        Dbt(settings, project, target=SPARK, schema_prefix=prefix).run_operation(
            "prepare_cluster", questions=[], statements=[]
        )
    return Spark(settings)


def mart_nodes(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the models of dbt's manifest that are tables of the cluster and published, by name."""
    return {
        node["alias"]: node
        for node in _published_models(manifest).values()
        if node["config"]["materialized"] != "view"
    }


def views_of_published_file(manifest: Mapping[str, Any]) -> list[str]:
    """Return the ids of the views that `describe_marts` creates in the published file."""
    return [
        name for name, node in _published_models(manifest).items() if node["config"]["materialized"] == "view"
    ]


def _published_models(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: node
        for name, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and node["schema"] == "marts"
    }
