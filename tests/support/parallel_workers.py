"""What processes do that ingest beside a test, or are killed while they do."""

import os
import signal
from collections.abc import Callable
from functools import cache
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from ingestion import parallel as groups
from ingestion.lake import batches as lake
from ingestion.lake.batches import Lake
from ingestion.load import LoadResult
from ingestion.parallel import commit_groups, plan_groups, prepare
from ingestion.staging import batch as batch_module
from paywall_warehouse.settings import Settings, load_settings
from tests.support.ingestion import load


@cache
def settings_of(home: Path) -> Settings:
    return load_settings(_env_file=None, warehouse_home=home, duckdb_threads=1)


def ingest(settings: Settings, group_bytes: int = 1) -> list[LoadResult]:
    return list(
        commit_groups(settings, [prepare(settings, group) for group in plan_groups(settings, group_bytes)])
    )


def at_once(homes: list[Path], barrier: Barrier, how: str) -> None:
    """Ingest, in each home, what another process ingests at the same moment."""
    for home in homes:
        settings = settings_of(home)
        if how == "load":
            barrier.wait(60)
            for source in ("ledger", "events"):
                load(settings, source)
        else:
            prepared = [prepare(settings, group) for group in plan_groups(settings, 1)]
            barrier.wait(60)
            list(commit_groups(settings, prepared))


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **options: (die(), function(*arguments, **options))[1]


def after(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **options: (function(*arguments, **options), die())[0]


POINTS: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "a file was read and validated": (batch_module, "_check_unchanged", before),
    "a batch is staged": (groups, "_write", after),
    "a batch is kept": (Lake, "keep_prepared", after),
    "the commit begins": (groups, "_read", before),
    "files are in their places, the manifest is not": (lake, "put_where_nothing_is", before),
    "the first manifest is there": (lake, "put_where_nothing_is", after),
}


def worker(home: Path, point: str | None) -> None:
    """Ingest a home, and die at a point of it."""
    if point:
        owner, name, how = POINTS[point]
        setattr(owner, name, how(getattr(owner, name)))
    ingest(settings_of(home))
