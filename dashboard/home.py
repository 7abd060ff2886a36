"""The home of this process.

It is not in `app.py`, because Streamlit executes that module again for every page.
"""

import os
from functools import cache

from dashboard.snapshot import Publications
from paywall_warehouse.settings import Settings, load_settings


@cache
def settings() -> Settings:
    """Return the settings of this process."""
    return load_settings()


@cache
def publications() -> Publications:
    """Return the published file that all pages of this process read."""
    # A folder of its own for each process, because DuckDB removes the files in it.
    spill = settings().dashboard_temporary / f"dashboard-{os.getpid()}"
    return Publications(settings().home.published_file, spill)
