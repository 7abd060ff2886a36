"""The spans of time that a pull requests. A span is a half-open pair of UTC instants."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

Span = tuple[datetime, datetime]

# A longer span is cut at the ends of months: a first pull of years is then many files of bounded size, each
# of which is kept as soon as it has landed.
LONGEST: Final = timedelta(days=62)


def gaps(available: Span, covered: Iterable[Span]) -> list[Span]:
    """Return the parts of `available` that no covered span contains, in order."""
    open_from, end = available
    found = []
    for covered_from, covered_until in sorted(covered):
        if covered_until <= open_from:
            continue
        if covered_from >= end:
            break
        if covered_from > open_from:
            found.append((open_from, covered_from))
        open_from = covered_until
    if open_from < end:
        found.append((open_from, end))
    return found


def windows_to_pull(
    available: Span, covered: Iterable[Span], fresh: Iterable[Span], look_back: timedelta
) -> list[Span]:
    """Return the spans to pull: what is not covered yet, and a look back before new data. Without new data
    there is nothing to pull.

    `fresh` are the covered spans that were downloaded when the available data ended where they end now. An
    interrupted pull continues after them, and does not look back at what it has just downloaded.
    """
    known = list(covered)
    missing = gaps(available, known)
    if missing and missing[-1][1] == available[1] and known:
        start, end = missing.pop()
        missing += gaps((max(available[0], start - look_back), end), fresh)
    return [piece for span in missing for piece in by_months(span)]


def by_months(span: Span) -> list[Span]:
    """Return the span in pieces that end with a month; in one piece if it is not longer than `LONGEST`."""
    start, end = span
    if end - start <= LONGEST:
        return [span]
    pieces = []
    while start < end:
        month = datetime(start.year + start.month // 12, start.month % 12 + 1, 1, tzinfo=UTC)
        pieces.append((start, min(month, end)))
        start = month
    return pieces
