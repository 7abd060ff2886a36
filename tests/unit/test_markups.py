"""Which markup applies on which day, and which files of `prices/` are markups."""

from datetime import date
from decimal import Decimal

import pytest

from ingestion.sources.markups import is_markups
from warehouse.markups import Markup, resolve_markups


def markup(
    start: int | None, end: int | None, multiplier: int, source: str = "*", model: str = "*"
) -> Markup:
    """A markup of days of October 2026."""
    first, last = (day and date(2026, 10, day) for day in (start, end))
    return Markup(source, model, first, last, Decimal(multiplier), Decimal(0))


@pytest.mark.parametrize(
    ("stated", "resolved"),
    [
        ([], []),
        ([markup(None, None, 2)], [markup(None, None, 2)]),
        # The latest start applies, and only to its own days.
        (
            [markup(5, 7, 3), markup(None, None, 2)],
            [markup(None, 5, 2), markup(5, 7, 3), markup(7, None, 2)],
        ),
        # Of equal starts, the last row applies.
        ([markup(5, None, 3), markup(5, 9, 4)], [markup(5, 9, 4), markup(9, None, 3)]),
        # Days without a markup have no row.
        ([markup(1, 3, 2), markup(5, 7, 3)], [markup(1, 3, 2), markup(5, 7, 3)]),
        # Other sources and models do not interfere.
        (
            [markup(5, None, 3, "x"), markup(None, None, 2), markup(None, None, 4, "x", "m")],
            [markup(None, None, 2), markup(5, None, 3, "x"), markup(None, None, 4, "x", "m")],
        ),
    ],
)
def test_one_markup_of_a_source_and_model_applies_on_a_day(
    stated: list[Markup], resolved: list[Markup]
) -> None:
    assert resolve_markups(stated) == resolved


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("prices/markups.csv", True),
        ("prices/2026/Markups.jsonl.zst", True),
        ("prices/markups.parquet", True),
        ("prices/my-markups.csv", False),
        ("prices/markups-2026.csv", False),
        ("prices/markups/own.csv", False),
    ],
)
def test_markups_are_known_by_the_name_of_their_file(path: str, expected: bool) -> None:
    assert is_markups(path) is expected
