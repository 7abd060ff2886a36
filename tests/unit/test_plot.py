"""The plots on the asset page: an SVG that any browser can parse, for any amounts."""

import xml.etree.ElementTree as ET
from datetime import date, timedelta
from decimal import Decimal

import pytest

from orchestration.plot import axis_ticks, exact_amount, publication_svg
from warehouse.published_summary import DailyUsage, DayTotals
from warehouse.reconciliation_summary import OpenBreaks, Reconciliation, SourceState

SVG = "{http://www.w3.org/2000/svg}"
FIRST = date(2026, 10, 1)
NOTHING = Reconciliation(0, 0, 0, [], [])


def usage(revenue: dict[str, list[str]], coverage: float | None = 1.0) -> DailyUsage:
    """Usage of the days from `FIRST`, the last of which is today; a dash is a day without usage."""
    days = [
        DayTotals(FIRST + timedelta(number), currency, Decimal(amount), coverage)
        for currency, amounts in revenue.items()
        for number, amount in enumerate(amounts)
        if amount != "-"
    ]
    return DailyUsage(FIRST, FIRST + timedelta(max(map(len, revenue.values()), default=1) - 1), days)


def open_breaks(
    priority: int, currency: str, cases: int, amount: str, kind: str = "ledger_only"
) -> OpenBreaks:
    return OpenBreaks(priority, kind, "stripe", currency, cases, Decimal(amount), 3)


def marks(svg: str, tag: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(f"{SVG}{tag}"))


def texts(svg: str) -> list[str]:
    return [str(text.text) for text in marks(svg, "text")]


def test_each_currency_has_bars_on_its_own_axis() -> None:
    svg = publication_svg(usage({"usd": ["1", "4", "2"], "jpy": ["-", "300", "-"]}), NOTHING)
    assert [bar.get("fill") for bar in marks(svg, "rect")] == ["#3b82f6", *["#d97706"] * 3]
    assert [text for text in texts(svg) if text in ("0", "2", "4", "200", "400")] == [
        *("0", "200", "400"),
        *("0", "2", "4"),
    ]
    heights = [float(str(bar.get("height"))) for bar in marks(svg, "rect")]
    assert heights == [48, 16, 64, 32]  # of 64: 300 of 400, then 1, 4 and 2 of 4
    assert {"2026-10-01", "2026-10-02", "2026-10-03 (today)"} <= set(texts(svg))


def test_only_the_current_day_is_pale() -> None:
    svg = publication_svg(usage({"usd": ["1", "4", "2"]}), NOTHING)
    assert [bar.get("fill-opacity") for bar in marks(svg, "rect")] == [None, None, "0.3"]
    whole, partial = marks(svg, "polyline")
    assert (len(str(whole.get("points")).split()), whole.get("stroke-dasharray")) == (2, "none")
    assert (len(str(partial.get("points")).split()), partial.get("stroke-dasharray")) == (2, "2 3")


def test_the_line_of_coverage_has_gaps_where_nothing_was_charged() -> None:
    svg = publication_svg(usage({"usd": ["1", "1", "-", "1", "1", "-"]}, coverage=0.5), NOTHING)
    lines = [str(line.get("points")).split() for line in marks(svg, "polyline")]
    assert [len(line) for line in lines] == [2, 2]
    assert {y for line in lines for _, y in (point.split(",") for point in line)} == {
        str(marks(svg, "path")[-3].get("d")).split()[1].partition("H")[0]
    }


def test_no_charges_mean_no_coverage_instead_of_full_coverage() -> None:
    assert marks(publication_svg(usage({"usd": ["0"]}, coverage=None), NOTHING), "polyline") == []


def test_money_at_risk_is_exact_by_currency_and_names_priority_1() -> None:
    state = Reconciliation(
        9,
        4,
        0,
        [
            open_breaks(1, "usd", 2, "123456789012345678.000000000001"),
            open_breaks(1, "usd", 1, "2", "processor_only"),
            open_breaks(3, "usd", 1, "0.5"),
            open_breaks(1, "chf", 1, "250"),
            open_breaks(2, "eur", 1, "1.20"),
        ],
        [],
    )
    assert [
        text for text in texts(publication_svg(usage({}), state)) if " in " in text and "case" in text
    ] == [
        "123,456,789,012,345,680.500000000001 usd in 4 cases, 123,456,789,012,345,680.000000000001 of it with"
        " priority 1",
        "250 chf in 1 case, 250 of it with priority 1",
        "1.20 eur in 1 case",
    ]


def test_no_breaks_are_good_news_only_if_the_reconciliation_is_complete() -> None:
    missing = SourceState("stripe", "payouts", "default", None, [], "missing")
    incomplete = publication_svg(usage({}), Reconciliation(3, 3, 0, [], [missing]))
    assert "the reconciliation is incomplete: there may be more" in texts(incomplete)
    assert "the reconciliation is incomplete: there may be more" not in texts(
        publication_svg(usage({}), Reconciliation(3, 3, 0, [], []))
    )
    assert "Nothing to reconcile." in texts(publication_svg(usage({}), NOTHING))


def test_many_currencies_are_counted_not_drawn() -> None:
    many = {f"c{number:02}": [str(100 - number)] for number in range(30)}
    state = Reconciliation(30, 0, 0, [open_breaks(1, name, 1, "1") for name in many], [])
    svg = publication_svg(usage(many), state)
    assert "27 more currencies are in the KPIs; pale: today so far" in texts(svg)
    assert "… and 25 more currencies" in texts(svg)
    assert float(str(ET.fromstring(svg).get("height"))) < 700


def test_currencies_are_escaped() -> None:
    state = Reconciliation(1, 0, 0, [open_breaks(1, "<a&b>", 1, "1")], [])
    assert texts(publication_svg(usage({"<a&b>": ["1"]}), state)).count("<a&b>") == 3


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0"), ("1.000000000000", "1"), ("1.2", "1.20"), ("-1234.005", "-1,234.005"), ("1E+3", "1,000")],
)
def test_amounts_keep_every_digit(amount: str, text: str) -> None:
    assert exact_amount(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        ("0", "0", ["0", "1"]),
        ("-3", "0", ["-4", "-2", "0", "2"]),
        ("1", "7", ["0", "5", "10"]),
        ("-150", "870", ["-1000", "0", "1000"]),
        ("0.0001", "0.0007", ["0", "0.0005", "0.0010"]),
    ],
)
def test_ticks_are_round_and_cover_zero(low: str, high: str, ticks: list[str]) -> None:
    assert axis_ticks(Decimal(low), Decimal(high)) == [Decimal(tick) for tick in ticks]
