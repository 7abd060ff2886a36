"""The home that this process shows. Not in `app.py`, which Streamlit executes anew for every page."""

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
    return Publications(settings().home.published_file, settings().dashboard_temporary)
