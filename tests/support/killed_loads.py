"""Loads that are killed before their nth change of a file or folder, in processes of their own."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from ingestion.load import load
from paywall_warehouse.settings import load_settings

CHANGES: Final = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "shutil.rmtree")


def is_killed(home: Path, source: str, change: int) -> bool:
    """Load a source in another process and kill it right before its nth change of a file or folder below the
    home; return False if it ended first.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_load, args=(home, source, change))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _load(home: Path, source: str, change: int) -> None:
    settings = load_settings(_env_file=None, warehouse_home=home, duckdb_threads=1)
    changes = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal changes
        writes = event == "open" and isinstance(arguments[1], str) and arguments[1][:1] in ("w", "x", "a")
        if (writes or event in CHANGES) and str(arguments[0]).startswith(str(home)):
            changes += 1
            if changes == change:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    load(settings, source, drop_build=lambda _: None)
