"""The plot on the asset page: an SVG that any browser can parse, for any amounts."""

import xml.etree.ElementTree as ET
from datetime import date, timedelta
from decimal import Decimal

import pytest

from orchestration.plot import axis_ticks, revenue_svg
from warehouse.published_summary import DayTotals

SVG = "{http://www.w3.org/2000/svg}"


def totals(count: int, currency: str = "usd") -> list[DayTotals]:
    return [
        DayTotals(date(2026, 10, 1) + timedelta(day), currency, Decimal(day), Decimal(2), Decimal(day - 2))
        for day in range(count)
    ]


def lines(svg: str) -> list[list[str]]:
    return [str(line.get("points")).split() for line in ET.fromstring(svg).iter(f"{SVG}polyline")]


def texts(svg: str) -> list[str | None]:
    return [text.text for text in ET.fromstring(svg).iter(f"{SVG}text")]


def test_each_measure_has_a_line_and_a_label() -> None:
    svg = revenue_svg([*totals(5), *totals(3, "eur")], "usd")
    assert [len(points) for points in lines(svg)] == [5, 5, 5]
    assert {"revenue", "provider cost", "profit", "2026-10-01", "2026-10-03", "2026-10-05"} <= set(texts(svg))
    assert [text for text in texts(svg) if text in ("-2", "0", "2", "4")] == ["-2", "0", "2", "4"]


def test_a_single_day_is_a_dot() -> None:
    points = lines(revenue_svg(totals(1), "usd"))
    assert all(len(line) == 2 and line[0] == line[1] for line in points)


def test_the_currency_is_escaped() -> None:
    assert "Revenue, provider cost and profit by day, <a&b>" in texts(
        revenue_svg(totals(2, "<a&b>"), "<a&b>")
    )


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        ("0", "0", ["0", "1"]),
        ("-3", "0", ["-3", "-2", "-1", "0", "1"]),
        ("1", "7", ["0", "2", "4", "6", "8"]),
        ("-150", "870", ["-500", "0", "500", "1000"]),
        ("0.0001", "0.0007", ["0", "0.0002", "0.0004", "0.0006", "0.0008"]),
    ],
)
def test_ticks_are_round_and_cover_zero(low: str, high: str, ticks: list[str]) -> None:
    assert axis_ticks(Decimal(low), Decimal(high)) == [Decimal(tick) for tick in ticks]
