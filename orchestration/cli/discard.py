"""The subcommand `discard`: remove landed files that were never published from the lake."""

import logging
from collections.abc import Sequence

import duckdb

from ingestion.discard import DiscardError, DroppedFile, discard
from orchestration.faults import explain_faults
from orchestration.instance import open_instance
from orchestration.run_lock import exclusive
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from warehouse.build_file import drop_build_file, published_through
from warehouse.engines import promoted_through


def discard_files(settings: Settings, paths: Sequence[str]) -> list[str]:
    """Discard files; return the lines to print.

    Raises `DiscardError`, and changes nothing, if one of the files cannot be discarded.
    """
    home = settings.home
    # A run reads the lake for as long as it works, so wait for its end.
    with (
        open_instance(home) as instance,
        exclusive(home, "discard", instance, logging.getLogger(__name__)),
        explain_faults(home.root),
    ):
        dropped = discard(settings, paths, _last_published_batch(home), drop_build=drop_build_file)
    return [
        *(line for one in dropped for line in _lines(one, settings.landing_shown)),
        "`paywall-warehouse run` builds and publishes without them.",
    ]


def _last_published_batch(home: Home) -> int:
    """Return the last batch that readers may have seen, in the published file or on a cluster.

    A cluster shows a build shortly before the file is published.
    """
    try:
        through = published_through(home)
    except duckdb.Error as error:
        raise DiscardError(
            f"{home.published_file} cannot be read, so it is not known which batches are"
            " published. Close the program that has it open. If it is damaged, run first"
            f" ({str(error).partition(chr(10))[0]})."
        ) from error
    return max(through, promoted_through(home))


def _lines(dropped: DroppedFile, landing: str) -> list[str]:
    record = dropped.record
    done = (
        f"{record.path}: was already discarded."
        if dropped.was_dropped
        else f"{record.path}: {record.accepted:,} accepted records and {record.rejected:,} rejects dropped."
    )
    left = [
        f"  {landing}/{place.path} is still in the landing area. It is not loaded as long"
        " as it does not change: remove it, correct it, or land it again to load it."
        for place in dropped.places
    ]
    return [done, *left]
