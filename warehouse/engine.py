"""The engines that build the models: DuckDB in this process, or a Spark cluster (`WAREHOUSE_TARGET`).

Only this room knows which engine runs. Everything above calls the methods of `Engine`.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import duckdb

from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from warehouse.build import Build
from warehouse.checks.invariant import Queries
from warehouse.dbt_runner import PROJECT, DbtBuild
from warehouse.marts import Mart

Progress = Callable[[str], None]


class EngineError(Exception):
    """The engine cannot do what it was asked for; the text says why and what to do."""


class Candidate(Protocol):
    """A finished build that is checked, then promoted. Another process may have built it."""

    def queries(self, build_file: duckdb.DuckDBPyConnection) -> Queries:
        """Return what the checks before publication query; `build_file` is a connection to the build file."""

    def promote(self) -> None:
        """Let the engine's own readers see the build. The published file is replaced right after."""


class Engine(Protocol):
    """Builds and tests the models of one home, and gives access to what it built."""

    def check_selection(self, *, is_subset: bool) -> None:
        """Raise `EngineError` where this engine cannot build a part of the models."""

    def build(
        self,
        plan: Build,
        run_id: str,
        manifest: Mapping[str, Any],
        selection: Sequence[str],
        progress: Progress,
    ) -> DbtBuild:
        """Build and test the models. `selection` are dbt's arguments for a part of them, empty for all.

        `progress` gets a line for each finished model and each test that fails.
        """

    def candidate(self) -> Candidate:
        """Return the last finished build; raise `NotPublishedError` where it is not the build file's."""

    def remote_mart(self, published: duckdb.DuckDBPyConnection, mart: str, day: str | None) -> Mart | None:
        """Return a published mart whose rows are not in the published file, None if they are.

        `published` is a connection to the published file, `day` the mart's column with the reporting day.
        Raises `NotPublishedError` where the engine no longer has the build that is published.
        """

    def run_dbt(self, words: Sequence[str], progress: Progress) -> DbtBuild:
        """Run a dbt command such as `test --select …`, for a developer. Never changes what readers see."""


def engine_of(settings: Settings, project: Path = PROJECT) -> Engine:
    """Return the engine that the settings choose."""
    if settings.warehouse_target == "spark":
        from warehouse.spark.engine import SparkEngine  # noqa: PLC0415  its drivers are an extra

        return SparkEngine(settings, project)
    from warehouse.duckdb_engine import DuckdbEngine  # noqa: PLC0415  it imports this module's errors

    return DuckdbEngine(settings, project)


def missing_extra(settings: Settings) -> str | None:
    """Return the optional dependency (`pyproject.toml`) that the engine needs and that is not installed."""
    needs_spark = settings.warehouse_target == "spark"
    return "spark" if needs_spark and find_spec("dbt.adapters.spark") is None else None


def promoted_through(home: Home) -> int:
    """Return the last batch that readers of a cluster have seen; -1 where there is none."""
    if not _has_spark():
        return -1
    from warehouse.spark.builds import promoted_builds  # noqa: PLC0415

    return max((build.built_through for build in promoted_builds(home)), default=-1)


def forget_exchanged_files(settings: Settings) -> None:
    """Remove files that a cluster wrote for a run that was killed: they may name an erased person."""
    if _has_spark():
        from warehouse.spark.exchange import Exchange  # noqa: PLC0415

        Exchange(settings).forget()


def copies_with_erased_people(home: Home) -> list[str]:
    """Return a sentence for each copy on a cluster that is older than the last erasure, with the remedy."""
    if not _has_spark():
        return []
    from warehouse.spark.erased import copies_with_erased_people as on_cluster  # noqa: PLC0415

    return on_cluster(home)


def _has_spark() -> bool:
    """Check whether `warehouse/spark/` is there: DuckDB works without that folder."""
    return find_spec("warehouse.spark") is not None
