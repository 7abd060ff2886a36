"""The home of this process.

It is not in `app.py`, because Streamlit executes that module again for every page.
"""

from functools import cache

from dashboard.snapshot import Publications
from paywall_warehouse.settings import Settings, load_settings
from paywall_warehouse.temporary_folders import TemporaryFolder
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
    return Publications(settings().home.published_file, _temporary_folder().path)


@cache
def _temporary_folder() -> TemporaryFolder:
    """Return the folder in which the queries of this process spill, which DuckDB empties at its end."""
    return TemporaryFolder("dashboard-", settings().dashboard_temporary)
