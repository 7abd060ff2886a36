"""What charts show: steps, comparisons, gaps and zeros, the texts of the tooltip, and the CSV."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import altair
import pyarrow as pa
import pytest

from dashboard import charts, coverage
from dashboard.chart_axes import labelled_days
from dashboard.chart_panel import csv_text
from dashboard.measures import MEASURES
from dashboard.queries.usage import Grain
from dashboard.steps import day_offset, drawn_at, steps
from dashboard.views.models import model_points


def day(number: int, month: int = 11) -> date:
    return date(2026, month, number)


def days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=number) for number in range(count)]


def rows_of(chart: charts.Chart) -> list[list[dict[str, Any]]]:
    """The rows of each layer."""
    rows = {one.name: pa.ipc.open_stream(one.rows).read_all().to_pylist() for one in chart.datasets}
    return [rows[layer["data"]["name"]] for layer in chart.spec["layer"]]


def valid(chart: charts.Chart) -> dict[str, Any]:
    """The specification, compared with the schema of Vega-Lite, and complete."""
    altair.TopLevelSpec.validate(chart.spec)
    parts = [chart.spec, *chart.spec.get("layer", ())]
    used = {part["data"]["name"] for part in parts if "data" in part}
    assert used == {one.name for one in chart.datasets} == set(chart.complete["datasets"])
    return chart.spec


# ---- steps


# 1 November 2026 is a Sunday.
@pytest.mark.parametrize(
    ("grain", "expected"),
    [
        ("day", [(day(29), day(29), day(30), True), (day(30), day(30), day(1, 12), False)]),
        ("week", [(day(23), day(29), day(30), True), (day(30), day(30), day(1, 12), False)]),
        ("month", [(day(1), day(29), day(1, 12), False)]),
    ],
)
def test_steps_have_their_days_of_the_period(
    grain: Grain, expected: list[tuple[date, date, date, bool]]
) -> None:
    found = steps(day(29), day(1, 12), grain, over_until=day(30))
    assert [(step.starts_on, step.since, step.until, step.is_over) for step in found] == expected


@pytest.mark.parametrize(
    ("now", "before", "shown", "drawn"),
    [
        # 30 days: four weeks earlier, so that Sunday, 4 October, lies under Sunday, 1 November.
        ((day(1), day(1, 12)), (day(2, 10), day(1)), day(4, 10), day(1)),
        ((day(1), day(1, 12)), (day(2, 10), day(1)), day(31, 10), day(28)),
        # The first two of the 30 days have no day below them.
        ((day(1), day(1, 12)), (day(2, 10), day(1)), day(2, 10), day(30, 10)),
        # 7 days: the weekdays agree anyway.
        ((day(24), day(1, 12)), (day(17), day(24)), day(17), day(24)),
        # 90 days, from 2 September and 4 June: 13 weeks are 91 days.
        ((day(2, 9), day(1, 12)), (day(4, 6), day(2, 9)), day(4, 6), day(3, 9)),
        # 10 days: one by one, from Wednesday, 11, and Saturday, 21 November.
        ((day(21), day(1, 12)), (day(11), day(21)), day(11), day(21)),
        # The month to date until the 5th: the same days of the month before.
        ((day(1), day(6)), (day(1, 10), day(6, 10)), day(5, 10), day(5)),
    ],
)
def test_days_are_compared_by_weekday_if_the_period_is_long_enough(
    now: tuple[date, date], before: tuple[date, date], shown: date, drawn: date
) -> None:
    assert drawn_at(shown, "day", now, before) == drawn


def test_weeks_and_months_are_compared_one_by_one() -> None:
    now, before = (day(1), day(1, 12)), (day(2, 10), day(1))
    # The weeks of 1 November and of 2 October begin on 26 October and 28 September.
    assert drawn_at(day(28, 9), "week", now, before) == day(26, 10)
    assert drawn_at(day(5, 10), "week", now, before) == day(2)
    assert drawn_at(day(1, 10), "month", now, before) == day(1)
    january = (date(2027, 1, 1), date(2027, 2, 1))
    assert drawn_at(day(1, 12), "month", january, (day(1, 12), date(2027, 1, 1))) == date(2027, 1, 1)


@pytest.mark.parametrize(
    ("shown", "grain", "labels"),
    [
        (days(day(24), 7), "day", days(day(24), 7)),
        # Mondays, and the first of the month, but not 2 November, which would touch it.
        (days(day(18, 10), 30), "day", [day(19, 10), day(26, 10), day(1), day(9), day(16)]),
        (days(day(2, 9), 90), "day", [day(15, 9), day(1, 10), day(15, 10), day(1), day(15)]),
        ([day(1, month) for month in range(1, 13)], "month", [day(1, month) for month in range(1, 13)]),
    ],
)
def test_the_axis_has_few_labels_at_recognisable_days(
    shown: list[date], grain: Grain, labels: list[date]
) -> None:
    assert labelled_days(shown, grain) == labels


# ---- lines


def test_a_step_has_the_texts_of_all_series() -> None:
    points = charts.money_points(
        [
            {"starts_on": day(1), "revenue": Decimal("12.30"), "profit": Decimal("-0.000000000001")},
            {"starts_on": day(2), "revenue": Decimal(0), "profit": Decimal(0)},
        ],
        {"revenue": "Revenue", "profit": "Profit"},
        "usd",
    )
    earlier = charts.money_points(
        [{"starts_on": day(25, 10), "revenue": Decimal(7)}], {"revenue": "Before"}, "usd"
    )
    points += charts.moved(earlier, {day(25, 10): day(1), day(26, 10): day(2)})
    chart = charts.lines(points, "USD", area="Profit", grey=["Before"], partial={day(2)})
    assert [layer["mark"]["type"] for layer in valid(chart)["layer"]] == [
        "area", "rule", "line", "line", "rect", "point", "point",
    ]  # fmt: skip
    [bands, *_] = [rows for rows in rows_of(chart) if "from" in rows[0]]
    assert [(row["said"], row["s0"], row["s1"], row["s2"]) for row in bands] == [
        ("1 Nov 2026", "12.30 USD", "−0.000000000001 USD", "25 Oct 2026: 7.00 USD"),
        ("2 Nov 2026, not over yet", "0.00 USD", "0.00 USD", "–"),
    ]


def test_only_the_step_that_is_not_over_is_dotted() -> None:
    points = [charts.point("a", one, 1, "1") for one in days(day(1), 3)]
    points += charts.moved(
        [charts.point("before", one, 1, "1") for one in days(day(1, 10), 3)],
        {day(number, 10): day(number) for number in (1, 2, 3)},
    )
    [marks, *_] = [rows for rows in rows_of(charts.lines(points, "", partial={day(3)})) if "tail" in rows[0]]
    assert [(row["series"], row["partial"], row["tail"]) for row in marks] == [
        ("a", False, False),
        ("a", False, True),
        ("a", True, True),
        *[("before", False, False)] * 3,
    ]


def test_a_value_between_gaps_has_a_point_in_a_long_chart() -> None:
    points = [charts.point("a", one, None, "–") for one in days(day(1, 1), 100)]
    points[50] = charts.point("a", points[50].at, 0.5, "50.0 %")  # type: ignore[arg-type]
    [marks, *_] = [rows for rows in rows_of(charts.lines(points, "")) if "dot" in rows[0]]
    assert [number for number, row in enumerate(marks) if row["dot"]] == [50]


def test_a_balance_holds_until_it_changes() -> None:
    points = [
        charts.point("a", day(1), Decimal(5), "5.00 USD"),
        charts.point("b", day(3), Decimal(2), "2.00 USD"),
    ]
    [bands, *_] = [
        rows for rows in rows_of(charts.lines(points, "USD", interpolate="step-after")) if "from" in rows[0]
    ]
    assert [(row["s0"], row["s1"]) for row in bands] == [("5.00 USD", "–"), ("5.00 USD", "2.00 USD")]


@pytest.mark.parametrize("name", ["title", "image", "<b>x</b>", "a.b[0]", "x" * 60])
def test_a_series_may_have_any_name(name: str) -> None:
    spec = valid(charts.lines([charts.point(name, day(1), 1, "1")], ""))
    titles = [field["title"] for field in spec["layer"][-1]["encoding"]["tooltip"]]
    # The tooltip would draw a field `title` as a heading, and `image` as a picture.
    assert titles == ["title", f"{name} (series)" if name in ("title", "image") else name]


def test_long_names_keep_their_ends_in_the_tooltip_and_differ() -> None:
    names = [f"{'x' * 100}{end}" for end in ("-mini", "-large")]
    names.append("x" * 50 + "y" * 50 + "x" * 15 + "-mini")
    spec = valid(charts.lines([charts.point(name, day(1), 1, "1") for name in names], ""))
    titles = [field["title"] for field in spec["layer"][-1]["encoding"]["tooltip"]]
    assert titles[1:] == [
        "x" * 36 + "…" + "x" * 15 + "-mini",
        "x" * 36 + "…" + "x" * 14 + "-large",
        "x" * 36 + "…" + "x" * 15 + "-mini (3)",
    ]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("revenue", ["1.25 USD", "0.00 USD", "0.00 USD"]),
        ("charges", ["3", "0", "0"]),
        ("provider_cost", ["0.50 USD", "0.00 USD", "–"]),
        ("profit", ["≤ 0.75 USD", "0.00 USD", "–"]),
        ("margin", ["≤ 60.0 %", "–", "–"]),
        ("cost_coverage", ["50.0 %", "–", "0.0 %"]),
    ],
)
def test_days_without_sales_are_zero_and_ratios_without_sales_are_gaps(name: str, texts: list[str]) -> None:
    rows = {
        day(1): usage(revenue="1.25", cost="0.50", counted=2, unknown=1, charges=3, margin=0.6, known=0.5),
        # A failed charge whose cost is not known.
        day(3): usage(revenue="0", cost="0", counted=1, unknown=1, charges=0, margin=None, known=0.0),
    }
    links = {day(number): f"ledger?{number}" for number in (1, 2, 3)}
    points = model_points(MEASURES[name], "m", rows, links, "usd")
    assert [point.text for point in points] == texts
    assert [point.amount is None for point in points] == [text == "–" for text in texts]
    assert [point.link for point in points] == ["ledger?1", "ledger?2", "ledger?3"]


def usage(
    *, revenue: str, cost: str, counted: int, unknown: int, charges: int, margin: float | None, known: float
) -> dict[str, Any]:
    return {
        "revenue": Decimal(revenue),
        "provider_cost": Decimal(cost),
        "profit": Decimal(revenue) - Decimal(cost),
        "margin": margin,
        "charges": charges,
        "counted_charges": counted,
        "charges_without_cost": unknown,
        "cost_coverage": known,
    }


# ---- coverage


@pytest.mark.parametrize(
    ("row", "texts"),
    [
        (usage(revenue="2", cost="1", counted=3, unknown=0, charges=3, margin=0.5, known=1.0),
         ("1.00", "1.00", "50.0 %")),
        (usage(revenue="2", cost="1", counted=3, unknown=1, charges=3, margin=0.5, known=0.67),
         ("1.00", "≤ 1.00", "≤ 50.0 %")),
        (usage(revenue="2", cost="0", counted=3, unknown=3, charges=3, margin=1.0, known=0.0),
         ("–", "–", "–")),
        # Nothing can have a cost: the cost is 0.
        (usage(revenue="0", cost="0", counted=0, unknown=0, charges=1, margin=None, known=0.0),
         ("0.00", "0.00", "–")),
        # `formats.share` says more than 99.9 %, which is no upper bound.
        (usage(revenue="2", cost="0", counted=3, unknown=1, charges=3, margin=0.9999, known=0.67),
         ("0.00", "≤ 2.00", "≤ 100.0 %")),
    ],
)  # fmt: skip
def test_a_profit_without_all_costs_is_marked(row: dict[str, Any], texts: tuple[str, str, str]) -> None:
    assert (coverage.cost(row, "usd"), coverage.profit(row, "usd"), coverage.margin(row)) == texts


def test_users_and_cost_coverage_alone_are_enough() -> None:
    money = {"provider_cost": Decimal(0), "profit": Decimal(2), "margin": 1.0}
    assert coverage.cost(money | {"cost_coverage": 0.0}, "usd") == "–"
    assert coverage.profit(money | {"cost_coverage": 0.5}, "usd") == "≤ 2.00"
    assert coverage.profit(money | {"cost_coverage": None}, "usd") == "2.00"
    assert coverage.cost(money | {"charges_without_cost": 1, "cost_to_serve": None}, "usd") == "–"
    assert coverage.profit(money | {"charges_without_cost": 1, "cost_to_serve": 0.0}, "usd") == "≤ 2.00"


# ---- CSV


def test_the_csv_has_exact_values_and_no_formulas() -> None:
    rows: list[dict[str, Any]] = [
        {"series": '=HYPERLINK("x")', "value": Decimal("-0.000000000001"), "at": day(1)},
        {"series": "@a, b", "value": Decimal("12345678901234567890123456.123456789012"), "at": day(2)},
        {"series": "-1", "value": None, "at": 3},
        {"series": "\tx", "value": 0.1, "at": 4},
        {"series": "plain", "value": -5, "at": 5},
    ]
    assert csv_text(rows).split("\n") == [
        "series,value,at",
        '"\'=HYPERLINK(""x"")",-0.000000000001,2026-11-01',
        '"\'@a, b",12345678901234567890123456.123456789012,2026-11-02',
        "'-1,,3",
        "'\tx,0.1,4",
        "plain,-5,5",
        "",
    ]


def test_bars_and_lines_over_numbers_are_charts_of_vega_lite() -> None:
    spec = valid(charts.bars([charts.Bar("m", Decimal("1.5"), "1.50 USD", "ledger")], "Revenue"))
    assert spec["encoding"]["y"]["sort"] == ["m"]
    spec = valid(charts.by_number([charts.Point("a", number, 0.5, "x") for number in range(3)], "Months", ""))
    assert spec["layer"][0]["encoding"]["x"]["type"] == "quantitative"


def test_a_heat_map_takes_negative_and_absent_values() -> None:
    cell = {"row": "2026-10", "text": "", "short": "", "said": "", "note": "", "opens": "", "link": "ledger"}
    for values in ([None], [Decimal(-5)], [Decimal(0)], [Decimal(-5), None, Decimal(3)]):
        cells = [cell | {"column": number, "value": value} for number, value in enumerate(values)]
        spec = valid(charts.heat_map(cells, "Revenue"))
        low, high = spec["layer"][0]["encoding"]["color"]["scale"]["domain"]
        assert low < high


@pytest.mark.parametrize(
    ("now", "before", "days"),
    [
        # 30 days: each day is compared with the same weekday, four weeks before.
        ((date(2026, 11, 1), date(2026, 12, 1)), (date(2026, 10, 2), date(2026, 11, 1)), 28),
        ((date(2026, 11, 24), date(2026, 12, 1)), (date(2026, 11, 17), date(2026, 11, 24)), 7),
        # The first ten days of a month with those of the month before, which had 31.
        ((date(2026, 11, 1), date(2026, 11, 11)), (date(2026, 10, 1), date(2026, 10, 11)), 31),
    ],
)
def test_every_day_has_its_counterpart(now: tuple[date, date], before: tuple[date, date], days: int) -> None:
    assert day_offset(now, before) == timedelta(days=days)


# ---- bars side by side


def test_bars_of_a_step_stand_side_by_side_with_exact_texts() -> None:
    amounts = [("Oct 2026", "10.000000000001", "12", True), ("Nov 2026", "3", "-0.5", False)]
    chart = charts.grouped_bars(
        [
            {
                "name": name,
                "said": name,
                "amounts": [Decimal(recorded), Decimal(billed)],
                "texts": [recorded, billed],
                "notes": {"Difference": f"{Decimal(billed) - Decimal(recorded)}"},
                "is_whole": is_whole,
                "link": f"costs?month={name}",
            }
            for name, recorded, billed, is_whole in amounts
        ],
        ["Recorded", "Billed"],
        "USD",
    )
    spec = valid(chart)
    rows = pa.ipc.open_stream(chart.datasets[0].rows).read_all().to_pylist()
    assert [(row["step"], row["series"], row["value"], row["is_whole"]) for row in rows] == [
        ("Oct 2026", "Recorded", 10.000000000001, True),
        ("Oct 2026", "Billed", 12.0, True),
        ("Nov 2026", "Recorded", 3.0, False),
        ("Nov 2026", "Billed", -0.5, False),
    ]
    # Every bar has the texts of the whole step.
    assert {(row["s0"], row["s1"], row["s2"]) for row in rows if row["step"] == "Oct 2026"} == {
        ("10.000000000001", "12", "1.999999999999")
    }
    titles = [channel["title"] for channel in spec["encoding"]["tooltip"]]
    assert titles == ["title", "Recorded", "Billed", "Difference"]
    assert spec["encoding"]["x"]["sort"] == ["Oct 2026", "Nov 2026"]


# ---- stacked bars


def test_what_is_lost_is_stacked_below_the_axis_with_exact_texts() -> None:
    amounts = [("Oct 2026", "10.000000000001", "-2", True), ("Nov 2026", "0", "-0.5", False)]
    chart = charts.stacked_bars(
        [
            charts.Stack(
                name,
                f"{name}, heading",
                {"Won": Decimal(won), "Lost": Decimal(lost)},
                {"Won": won, "Lost": lost, "Net": f"{Decimal(won) + Decimal(lost)}"},
                {"Lost": f"growth?month={name}"},
                is_over,
            )
            for name, won, lost, is_over in amounts
        ],
        "USD",
        ("#111111", "#222222"),
    )
    spec = valid(chart)
    rows = pa.ipc.open_stream(chart.datasets[0].rows).read_all().to_pylist()
    assert [(row["step"], row["series"], row["value"], row["is_over"], row["link"]) for row in rows] == [
        ("Oct 2026", "Won", 10.000000000001, True, None),
        ("Oct 2026", "Lost", -2.0, True, "growth?month=Oct 2026"),
        ("Nov 2026", "Won", 0.0, False, None),
        ("Nov 2026", "Lost", -0.5, False, "growth?month=Nov 2026"),
    ]
    # Every part has the texts of the whole step.
    assert {(row["said"], row["s0"], row["s1"], row["s2"]) for row in rows[:2]} == {
        ("Oct 2026, heading", "10.000000000001", "-2", "8.000000000001")
    }
    encoding = spec["encoding"]
    assert [channel["title"] for channel in encoding["tooltip"]] == ["title", "Won", "Lost", "Net"]
    assert encoding["y"]["stack"] == "zero"
    assert encoding["color"]["scale"] == {"domain": ["Won", "Lost"], "range": ["#111111", "#222222"]}


def test_blocks_of_28_days_are_named_by_their_first_day() -> None:
    assert charts.day_label(day(2), "days_28") == "28 days from 2 Nov 2026"
    blocks = [date(2026, 1, 26) + timedelta(days=28 * number) for number in range(16)]
    # Every second one of more than 14.
    assert labelled_days(blocks, "days_28") == blocks[::2]
    points = [charts.point("a", block, 1, "1") for block in blocks]
    [bands, *_] = [rows for rows in rows_of(charts.lines(points, "", grain="days_28")) if "from" in rows[0]]
    assert bands[0]["said"] == "28 days from 26 Jan 2026"
