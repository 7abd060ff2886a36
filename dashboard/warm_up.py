"""The queries of the first page, answered before anybody opens it."""

import threading
import time
from contextlib import suppress

import duckdb

from dashboard import controls, health
from dashboard.home import publications
from dashboard.queries import publication as publication_queries
from dashboard.snapshot import Publications, Question, Snapshot, UnreadableError
from dashboard.views import overview
from warehouse.current_publication import Identity

LOOK_EVERY_SECONDS = 5


def keep_warm() -> None:
    """Answer the queries of every publication of this process, in a thread of its own."""
    threading.Thread(target=_watch, args=(publications(),), name="warm-up", daemon=True).start()


def _watch(published: Publications) -> None:
    seen: Identity | None = None
    while True:
        seen = look(published, seen)
        time.sleep(LOOK_EVERY_SECONDS)


def look(published: Publications, seen: Identity | None) -> Identity | None:
    """Answer the queries of a publication other than the one seen last, and return its identity.

    A file that cannot be read is not opened again. The pages show the reason.
    """
    # The folder may be closed to this user, too.
    with suppress(OSError, UnreadableError, duckdb.Error):
        previous, seen = seen, published.identity()
        if seen not in (None, previous):
            warm_up(published)
    return seen


def warm_up(published: Publications) -> None:
    """Answer the queries of the Overview for every named period, the default one first.

    A publication that replaces this one ends it. Raises `UnreadableError` and `duckdb.Error`.
    """
    snapshot = published.current()
    if snapshot is None:
        return
    for question in questions(snapshot):
        if published.identity() != snapshot.identity:
            return
        begin = time.monotonic()
        question(snapshot)
        # Half of the time is left to those who look at pages now.
        time.sleep(time.monotonic() - begin)


def questions(snapshot: Snapshot) -> list[Question]:
    """Return the queries; none without entries."""
    about = publication_queries.about(snapshot)
    if about is None or about.is_empty:
        return []
    periods = publication_queries.periods(snapshot)
    first = [controls.DEFAULT_PERIOD, *controls.PERIODS]
    named = [periods[name] for name in dict.fromkeys(first) if name in periods]
    filters = [controls.default_filters(about, period) for period in named]
    return health.questions() + [
        question for chosen in filters for question in overview.questions(chosen, about)
    ]
