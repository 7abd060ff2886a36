"""The ground floor, which every room imports: settings, the home, atomic files, quoting, web access.

Code about ledgers, models, exports or Dagster does not belong here. The package is also the public API:

    from paywall_warehouse import load_into, pull
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exports.client.duckdb_tables import load_into
    from exports.client.mirror import pull

__all__ = ["load_into", "pull"]

# Imported on first use (PEP 562), because every process imports this package, and these modules import DuckDB
# and fsspec.
_MODULES = {"load_into": "exports.client.duckdb_tables", "pull": "exports.client.mirror"}


def __getattr__(name: str) -> Any:
    """Return a function of the public API."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function = getattr(import_module(_MODULES[name]), name)
    globals()[name] = function
    return function


def __dir__() -> list[str]:
    """Return the names of the package, with those that are not imported yet."""
    return sorted({*globals(), *__all__})
