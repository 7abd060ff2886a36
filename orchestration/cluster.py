"""Builds on a cluster: the lake is shown to it, then dbt builds and tests the same models there, all of them anew.

`python -m orchestration.cluster` builds all; words behind it are another call of dbt, such as `build` with unit tests.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from dbt.cli.main import dbtRunner, dbtRunnerResult

from ingestion.cluster_build import calendar_question, cluster_statements
from orchestration.dbt import FAILED, PROJECT, DbtError, in_environment
from paywall_warehouse.settings import Settings, load_settings

BUILD = ("build", "--exclude-resource-type", "unit_test")


def cluster_command(folder: Path, *command: str) -> list[str]:
    """The arguments of a dbt call on the cluster; what dbt writes stays apart from what it writes for DuckDB."""
    return [
        *command,
        *("--target", "spark"),
        *("--project-dir", str(PROJECT)),
        *("--profiles-dir", str(PROJECT)),
        *("--target-path", str(folder / "target")),
        *("--log-path", str(folder / "logs")),
        "--no-use-colors",
        "--no-send-anonymous-usage-stats",
    ]


def build_on_cluster(settings: Settings, command: Sequence[str] = BUILD) -> dbtRunnerResult:
    """Show the lake to the cluster and build everything from it; raises `DbtError` where a model or a test fails."""
    arguments = {"questions": [calendar_question(settings)], "statements": cluster_statements(settings)}
    _invoke(settings, ["run-operation", "prepare_cluster", "--args", json.dumps(arguments)])
    return _invoke(settings, [*command, "--full-refresh"])


def call_on_cluster(settings: Settings, *command: str) -> dbtRunnerResult:
    """Any call of dbt, on what was built."""
    return _invoke(settings, command)


def _invoke(settings: Settings, command: Sequence[str]) -> dbtRunnerResult:
    with in_environment(settings.tool_environment()):
        outcome = dbtRunner().invoke(cluster_command(settings.home.root / "dbt" / "spark", *command))
    results = [result for result in getattr(outcome.result, "results", None) or [] if result.status in FAILED]
    failures = [f"{result.node.unique_id}: {result.message}" for result in results if hasattr(result, "node")]
    if not outcome.success:
        raise DbtError("\n".join(failures) or str(outcome.exception or "dbt failed without saying why; its log does"))
    return outcome


def main() -> None:
    """Build on the cluster that the settings name."""
    settings = load_settings()
    if settings.warehouse_target != "spark":
        sys.exit("Set WAREHOUSE_TARGET=spark to build on a cluster.")
    try:
        build_on_cluster(settings, sys.argv[1:] or BUILD)
    except DbtError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
