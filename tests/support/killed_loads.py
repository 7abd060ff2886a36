"""Loads, and closes of a month, that are killed before their nth change of a file or folder, in processes of
their own.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final

from ingestion.load import load
from paywall_warehouse.settings import Settings, load_settings
from tests.support.forked import CHILDREN
from warehouse.closing import close_month

CHANGES: Final = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "shutil.rmtree")


def is_killed(home: Path, source: str, change: int) -> bool:
    """Load a source in another process and kill it right before its nth change of a file or folder below the
    home; return False if it ended first.
    """
    return _is_killed(_load, home, source, change)


def is_close_killed(home: Path, month: date, change: int) -> bool:
    """Close a month in the same way, as of two months later."""
    return _is_killed(_close, home, month, change)


def _is_killed(target: Callable[..., None], home: Path, what: object, change: int) -> bool:
    process = CHILDREN.Process(target=target, args=(home, what, change))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _load(home: Path, source: str, change: int) -> None:
    settings = _counting(home, change)
    load(settings, source, drop_build=lambda _: None)


def _close(home: Path, month: date, change: int) -> None:
    settings = _counting(home, change, as_of=f"{month.replace(month=month.month + 2)}")
    close_month(settings, month, "Ann", None)


def _counting(home: Path, change: int, **settings: Any) -> Settings:
    """Return the settings of a home, and kill this process before its nth change of a file or folder."""
    loaded = load_settings(_env_file=None, warehouse_home=home, duckdb_threads=1, **settings)
    changes = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal changes
        writes = event == "open" and isinstance(arguments[1], str) and arguments[1][:1] in ("w", "x", "a")
        if (writes or event in CHANGES) and str(arguments[0]).startswith(str(home)):
            changes += 1
            if changes == change:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    return loaded
