"""The home of this process.

It is not in `app.py`, because Streamlit executes that module again for every page.
"""

import os
from functools import cache

from dashboard.snapshot import Publications
from paywall_warehouse.settings import Settings, load_settings
from warehouse.runs import Run, read_runs


@cache
def settings() -> Settings:
    """Return the settings of this process."""
    return load_settings()


def logged_runs() -> list[Run]:
    """Return the runs of the log, the oldest first.

    There are none if the log is missing or must not be read: the dashboard may run as a user who can read
    only the published file.
    """
    try:
        return read_runs(settings().home)
    except OSError:
        return []


@cache
def publications() -> Publications:
    """Return the published file that all pages of this process read."""
    # A folder of its own for each process, because DuckDB removes the files in it.
    spill = settings().dashboard_temporary / f"dashboard-{os.getpid()}"
    return Publications(settings().home.published_file, spill)
