"""The clean-up at the start of a run, before anything is read."""

from pathlib import Path

from ingestion.landing.area import Landing
from paywall_warehouse.files import remove_partials
from paywall_warehouse.settings import Settings
from warehouse.runs import log_unlogged


def clear_up(settings: Settings) -> None:
    """Remove partial files of a killed run that no later step removes. The caller holds the run lock."""
    home, landing = settings.home, Landing.of(settings)
    folders = [
        home.root / "state",
        home.lake,
        home.dbt_target,
        *([Path(landing.root) / name for name in ("stripe", "bills")] if landing.is_local else []),
    ]
    remove_partials(folders)
    log_unlogged(home)
