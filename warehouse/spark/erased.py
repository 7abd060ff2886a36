"""What a cluster still has of erased people, as far as this home knows."""

from ingestion.lake.erasures import read_registry
from paywall_warehouse.home import Home
from warehouse.spark.builds import builds_before_erasure
from warehouse.spark.lake_copy import copies_before_erasure


def copies_with_erased_people(home: Home) -> list[str]:
    """Return a sentence for each copy of the lake and each build that is older than the last erasure."""
    copies = [
        f"The copy of the lake at {copy} still names the person. A run with WAREHOUSE_TARGET=spark and that"
        " LAKE_URI replaces it."
        for copy in copies_before_erasure(home)
    ]
    builds = [
        f"The schemas {prefix}* on a cluster still name the person. A run with WAREHOUSE_TARGET=spark drops"
        " them."
        for prefix in builds_before_erasure(home, read_registry(home).erased_at)
    ]
    return [*copies, *builds]
