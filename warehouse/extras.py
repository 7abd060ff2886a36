"""The optional dependencies of the engines.

This is not in `engines.py`, which imports dbt: that takes seconds, and commands check this first.
"""

from importlib.util import find_spec

from paywall_warehouse.settings import Settings


def missing_extra(settings: Settings) -> str | None:
    """Return the optional dependency (`pyproject.toml`) that the engine needs and that is not installed."""
    needs_spark = settings.warehouse_target == "spark"
    return "spark" if needs_spark and find_spec("dbt.adapters.spark") is None else None
