"""The command `discard`: what landed files brought and no publication has shown leaves the lake."""

import logging
from collections.abc import Sequence

import duckdb

from ingestion.discard import DiscardError, DroppedFile, discard
from orchestration.faults import explain_faults
from orchestration.instance import open_instance
from orchestration.run_lock import exclusive
from paywall_warehouse.settings import Settings
from warehouse.build_file import drop_build_file, published_through
from warehouse.engines import promoted_through


def discard_files(settings: Settings, paths: Sequence[str]) -> list[str]:
    """Discard files; returns what was done, in lines for people. Raises `DiscardError` where one of them
    cannot be, and changes nothing.
    """
    home = settings.home
    # A run reads the lake from its beginning to its end.
    with (
        open_instance(home) as instance,
        exclusive(home, "discard", instance, logging.getLogger(__name__)),
        explain_faults(home.root),
    ):
        dropped = discard(settings, paths, _seen_by_readers(settings), drop_build=drop_build_file)
    return [
        *(line for one in dropped for line in _lines(settings, one)),
        "`paywall-warehouse run` builds and publishes without them.",
    ]


def _seen_by_readers(settings: Settings) -> int:
    """The last batch that anybody may have seen, in the published file or on a cluster, which shows a build a
    moment earlier.
    """
    try:
        through = published_through(settings.home)
    except duckdb.Error as error:
        raise DiscardError(
            f"{settings.home.published_file} cannot be read, and so it is not known what is published: close"
            f" what has it open, or, where it is damaged, run first ({str(error).partition(chr(10))[0]})."
        ) from error
    return max(through, promoted_through(settings.home))


def _lines(settings: Settings, dropped: DroppedFile) -> list[str]:
    record = dropped.record
    done = (
        f"{record.path}: had been discarded before."
        if dropped.was_dropped
        else f"{record.path}: {record.accepted:,} accepted records and {record.rejected:,} rejects dropped."
    )
    left = [
        f"  {settings.landing_shown}/{place.path} still lies there. It is not loaded while it stays as it is:"
        " remove it, put it right, or land it again to load it."
        for place in dropped.places
    ]
    return [done, *left]
