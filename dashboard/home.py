"""The home that this process shows. Not in `app.py`, which Streamlit executes anew for every page."""

import os
from functools import cache

from dashboard.snapshot import Publications
from paywall_warehouse.settings import Settings, load_settings


@cache
def settings() -> Settings:
    """The settings of this process."""
    return load_settings()


@cache
def publications() -> Publications:
    """What all pages of this process look at."""
    # A folder of this process: DuckDB removes what it spilled there.
    spill = settings().dashboard_temporary / f"dashboard-{os.getpid()}"
    return Publications(settings().home.published_file, spill)
