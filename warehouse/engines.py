"""The choice of the engine (`WAREHOUSE_TARGET`): DuckDB in this process, or a Spark cluster.

DuckDB works without the folder `warehouse/spark/`, which is only imported when it is needed.
"""

from importlib.util import find_spec
from pathlib import Path

from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from warehouse.dbt_runner import PROJECT
from warehouse.duckdb_engine import DuckdbEngine
from warehouse.engine import Engine


def engine_of(settings: Settings, project: Path = PROJECT) -> Engine:
    """Return the engine that the settings choose."""
    if settings.warehouse_target == "spark":
        from warehouse.spark.engine import SparkEngine  # noqa: PLC0415  its drivers are an extra

        return SparkEngine(settings, project)
    return DuckdbEngine(settings, project)


def promoted_through(home: Home) -> int:
    """Return the last batch that readers of a cluster have seen; -1 if there is none."""
    if not _has_spark():
        return -1
    from warehouse.spark.builds import promoted_builds  # noqa: PLC0415  as above

    return max((build.built_through for build in promoted_builds(home)), default=-1)


def forget_exchanged_files(settings: Settings) -> None:
    """Remove files that a cluster wrote for a run that was killed: they may name an erased person."""
    if _has_spark():
        from warehouse.spark.exchange import Exchange  # noqa: PLC0415  as above

        Exchange(settings).forget()


def copies_with_erased_people(home: Home) -> list[str]:
    """Return a sentence for each copy on a cluster that is older than the last erasure, with the remedy."""
    if not _has_spark():
        return []
    from warehouse.spark.erased import copies_with_erased_people as on_cluster  # noqa: PLC0415  as above

    return on_cluster(home)


def _has_spark() -> bool:
    """Check whether `warehouse/spark/` is there: DuckDB works without that folder."""
    return find_spec("warehouse.spark") is not None
