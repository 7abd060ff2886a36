"""Which pulls the settings and the mappings ask for. Imports no client of a server."""

from ingestion.postgres_pull.block import PostgresPull
from ingestion.postgres_pull.server import dsn_text
from ingestion.sources.registry import mappings_of
from paywall_warehouse.settings import BILL_APIS, Settings


def pulls_anything(settings: Settings) -> bool:
    """Check whether a run asks any server for new data."""
    keys = (settings.stripe_api_key, *(getattr(settings, key) for key, *_ in BILL_APIS.values()))
    return any(key is not None for key in keys) or bool(database_pulls(settings))


def database_pulls(settings: Settings) -> dict[str, PostgresPull]:
    """Return the pulls from databases by the name of their mapping.

    A shipped mapping pulls only if its connection string is set. With a mapping of the home, the pull fails
    without one.
    """
    return {
        name: mapping.pull
        for name, mapping in mappings_of(settings.home).items()
        if mapping.pull is not None
        and not (mapping.is_shipped and dsn_text(mapping.pull.dsn_variable) is None)
    }
