"""Builds on a cluster: the lake is shown to it, dbt builds and tests the same models there, all of them anew, and the marts come back.

`python -m orchestration.cluster WORDS…` is any call of dbt on schemas of its own, such as `build` with unit tests.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from exports.spark_books import Spark, SparkBooks
from exports.spark_publish import bring_marts, build_prefix, drop_old_builds, switch_views
from ingestion.build import Build
from ingestion.cluster_build import calendar_question, cluster_statements, state_statements
from orchestration.dbt import Dbt, DbtBuild, DbtError, build_command
from paywall_warehouse.settings import Settings, load_settings

SPARK = "spark"


class ClusterBuild:
    """One build on the cluster, in schemas of its own: what readers see does not change before it is published."""

    def __init__(self, settings: Settings, run_id: str) -> None:
        self.settings, self.prefix = settings, build_prefix(settings, run_id)
        self.dbt = Dbt(settings, target=SPARK, schema_prefix=self.prefix)

    def build(self, manifest: Mapping[str, Any], plan: Build, tell: Callable[[str], None]) -> DbtBuild:
        """Build and test everything on the cluster; where all holds, the marts replace those of the build file."""
        self.dbt.operate("prepare_cluster", questions=[calendar_question(self.settings)], statements=[])
        spark = Spark(self.settings)
        drop_old_builds(self.settings, spark, self.prefix)
        for statement in cluster_statements(self.settings, self.prefix):
            spark.run(statement)
        done = self.dbt.build(manifest, build_command(full_refresh=True), tell)
        if done.failures:
            return done
        for statement in state_statements(self.prefix, plan.through_batch):
            spark.run(statement)
        marts = {
            node["alias"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model" and node["schema"] == "marts"
        }
        brought = bring_marts(self.settings, spark, self.prefix, marts)
        replace(self.dbt, target="duckdb", schema_prefix="").operate("describe_marts")
        for name in brought.left:
            tell(f"marts.{name} has more than SPARK_PUBLISH_MAX_ROWS rows: it is read on the cluster, and is not in the published file")
        done.row_counts = {marts[name]["unique_id"]: rows for name, rows in brought.rows.items()}
        return done

    def books(self) -> SparkBooks:
        """What the checks before publication ask."""
        return SparkBooks(self._connected(), self.prefix)

    def show(self) -> None:
        """Let the cluster's `marts` show this build."""
        switch_views(self.settings, self._connected(), self.prefix)

    def _connected(self) -> Spark:
        # Also where another process built it: dbt starts the session that `SPARK_METHOD=session` asks.
        self.dbt.operate("prepare_cluster", questions=[], statements=[])
        return Spark(self.settings)


def main() -> None:
    """A call of dbt on the cluster that the settings name."""
    settings = load_settings()
    if settings.warehouse_target != SPARK:
        sys.exit("Set WAREHOUSE_TARGET=spark to build on a cluster.")
    tried = ClusterBuild(settings, "0")
    try:
        tried.dbt.operate("prepare_cluster", questions=[calendar_question(settings)], statements=cluster_statements(settings, tried.prefix))
        done = tried.dbt.build({}, [*sys.argv[1:], "--full-refresh"], print)
    except DbtError as error:
        sys.exit(str(error))
    if done.failures:
        sys.exit("\n\n".join(failure.told() for failure in done.failures))
    print(f"{done.models} models built, {done.tests} tests hold")


if __name__ == "__main__":
    main()
