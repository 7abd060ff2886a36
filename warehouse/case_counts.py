"""What the summaries of both reconciliations share: the numbers of their cases, and the line about them."""

from collections.abc import Callable, Sequence
from typing import Any

COMPLETE = "complete"
Fetch = Callable[[str], list[tuple[Any, ...]]]
"""Returns the rows of a query."""


def count_cases(fetch: Fetch, mart: str) -> tuple[int, int, int]:
    """Return the numbers of all, of matched, and of pending cases in a mart."""
    [(cases, matched, pending)] = fetch(
        f"""select
            count(*) as cases,
            count(*) filter (where status = 'matched') as matched,
            count(*) filter (where status = 'pending') as pending
        from marts.{mart}"""
    )
    return cases, matched, pending


def headline_of(
    title: str, gaps: Sequence[object], cases: int, matched: int, breaks: int, pending: int
) -> str:
    """Return the verdict and the counts as text. The reconciliation is complete without gaps."""
    verdict = "incomplete" if gaps else COMPLETE
    return (
        f"{title}: {verdict}. {cases:,} cases: {matched:,} matched, {breaks:,} breaks, {pending:,} pending."
    )
