"""Which spans of time a pull asks for. Spans are half-open pairs of UTC instants."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

Span = tuple[datetime, datetime]

# A longer span is cut at the months: a first pull of years is then many files of bounded size, each kept as
# soon as it is there.
LONGEST: Final = timedelta(days=62)


def gaps(available: Span, covered: Iterable[Span]) -> list[Span]:
    """What of `available` no covered span holds, in order."""
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
    """What is not covered yet; where new time follows on covered time, with a look back into it. Nothing new:
    nothing to pull.

    `fresh` are the covered spans that were downloaded since Stripe's data reach as far as they do: a pull
    that was cut short goes on where it was, and does not look back at what it has just brought.
    """
    known = list(covered)
    missing = gaps(available, known)
    if missing and missing[-1][1] == available[1] and known:
        start, end = missing.pop()
        missing += gaps((max(available[0], start - look_back), end), fresh)
    return [piece for span in missing for piece in by_months(span)]


def by_months(span: Span) -> list[Span]:
    """The span in pieces that end where months do; whole if it is not longer than `LONGEST`."""
    start, end = span
    if end - start <= LONGEST:
        return [span]
    pieces = []
    while start < end:
        month = datetime(start.year + start.month // 12, start.month % 12 + 1, 1, tzinfo=UTC)
        pieces.append((start, min(month, end)))
        start = month
    return pieces
