"""The charts of the dashboard in a browser: tooltips, where a click leads, and the downloads."""

import csv
import subprocess
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import Locator

from tests.support.browser import Screen, published_alone, serving
from tests.support.dashboard_words import Sql, money

pytestmark = pytest.mark.slow

OCTOBER = "period=Custom+days&days=2026-10-01&days=2026-10-10"
OVERVIEW = "Revenue, provider cost and profit by day; the table below has the numbers"
MODELS = "Revenue by model; the table above has the numbers"
RETENTION = "Retention by cohort and months since; the table below has the numbers"
TOOLTIP = """() => {
    const tooltip = document.querySelector('#vg-tooltip-element.visible');
    if (!tooltip) return null;
    const texts = (query) => [...tooltip.querySelectorAll(query)].map((cell) => cell.textContent);
    return [texts('h2').join(), Object.fromEntries(
        texts('td.key').map((key, number) => [key, texts('td.value')[number]])
    )];
}"""


@pytest.fixture(scope="module")
def home(
    first_run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return published_alone(first_run[0], tmp_path_factory.mktemp("charts") / "home")


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with serving(home) as base:
        yield base


@pytest.fixture(scope="module")
def sql(home: Path) -> Iterator[Sql]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        yield lambda query, *values: connection.execute(query, values).fetchall()


def chart(screen: Screen, alt: str) -> Locator:
    """The chart that screen readers know by this text."""
    found = screen.page.locator("[data-testid=stFullScreenFrame]").filter(
        has=screen.page.locator(f'button[aria-label="Download as PNG: {alt}"]')
    )
    drawn = found.locator("[data-testid=stVegaLiteChart]")
    drawn.locator("canvas, svg").first.wait_for()
    return drawn


def at(drawn: Locator, across: float, down: float) -> tuple[float, float]:
    drawn.scroll_into_view_if_needed()
    box = drawn.bounding_box()
    assert box is not None
    return box["x"] + box["width"] * across, box["y"] + box["height"] * down


def hovered(screen: Screen, drawn: Locator, across: float, down: float) -> tuple[str, dict[str, str]]:
    """The heading and the fields of the tooltip at a place of a chart."""
    x, y = at(drawn, across, down)
    screen.page.mouse.move(x - 3, y)
    screen.page.mouse.move(x, y)
    screen.page.wait_for_function(f"() => ({TOOLTIP})() !== null")
    heading, fields = screen.page.evaluate(TOOLTIP)
    return heading, fields


def click(screen: Screen, drawn: Locator, across: float, down: float) -> None:
    x, y = at(drawn, across, down)
    screen.follow(lambda: screen.page.mouse.click(x, y))


def downloaded(screen: Screen, button: Locator) -> tuple[str, bytes]:
    with screen.page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_the_pointer_shows_all_series_of_a_day_and_the_own_day_of_the_period_before(
    screen: Screen, sql: Sql
) -> None:
    screen.open(f"?{OCTOBER}")
    drawn = chart(screen, OVERVIEW)
    heading, fields = hovered(screen, drawn, 0.5, 0.3)
    day = datetime.strptime(heading, "%d %b %Y").date()  # noqa: DTZ007  a day
    [(revenue, cost, profit, before, name)] = sql(
        """select sum(revenue) filter (where date_day = $1), sum(provider_cost) filter (where date_day = $1),
            sum(profit) filter (where date_day = $1), sum(revenue) filter (where date_day = $1 - 10),
            strftime($1 - 10, '%-d %b %Y')
        from marts.fct_daily_revenue where currency = 'usd'""",
        day,
    )
    assert fields == {
        "Revenue": f"{money(revenue)} USD",
        "Provider cost": f"{money(cost)} USD",
        "Profit": f"{money(profit)} USD",
        "Revenue, previous period": f"{name}: {money(before)} USD",
    }
    click(screen, drawn, 0.5, 0.3)
    [(entries,)] = sql(
        "select count(*) from marts.fct_ledger_entries where currency = 'usd' and entry_date = ?", day
    )
    assert screen.address.startswith("ledger?")
    assert f"{day} (1 day" in screen.text
    assert f"of {entries:,}\n" in screen.text


@pytest.mark.soak
def test_the_day_that_is_not_over_is_named_and_compared_with_a_whole_day(screen: Screen, sql: Sql) -> None:
    screen.open("?period=Last+7+days")
    heading, fields = hovered(screen, chart(screen, OVERVIEW), 0.97, 0.3)
    day, _, rest = heading.partition(", ")
    assert rest == "not over yet"
    [(before, name)] = sql(
        """select sum(revenue), strftime(max(date_day), '%-d %b %Y') from marts.fct_daily_revenue
        where currency = 'usd' and date_day = strptime(?, '%-d %b %Y')::date - 7""",
        day,
    )
    assert fields["Revenue, previous period"] == f"{name}: {money(before)} USD"


@pytest.mark.soak
def test_a_bar_leads_to_the_ledger_of_its_model(screen: Screen, sql: Sql) -> None:
    screen.open(f"models?{OCTOBER}&model=openai%2Fgpt-4.1")
    drawn = chart(screen, MODELS)
    heading, fields = hovered(screen, drawn, 0.6, 0.13)
    [(revenue, of_all, entries)] = sql(
        """select sum(revenue) filter (where model_id = 'openai/gpt-4.1'),
            sum(revenue) filter (where model_id = 'openai/gpt-4.1') / sum(revenue),
            count(*) filter (where model_id = 'openai/gpt-4.1')
        from marts.fct_ledger_entries
        where currency = 'usd' and entry_date between '2026-10-01' and '2026-10-10'"""
    )
    assert (heading, fields) == ("openai/gpt-4.1", {"Revenue (USD)": f"{money(revenue)} USD"})
    [row] = screen.table("Usage by model")
    assert row["Share of revenue"] == f"{of_all * 100:.1f} %"
    click(screen, drawn, 0.6, 0.13)
    assert f"of {entries:,}\n" in screen.text


def test_a_chart_is_offered_as_csv_and_as_a_picture(screen: Screen, sql: Sql) -> None:
    screen.open(f"models?{OCTOBER}")
    chart(screen, MODELS)
    name, content = downloaded(screen, screen.main.get_by_role("button", name="CSV").first)
    assert name == "revenue-by-model-usd.csv"
    rows = [(row["name"], Decimal(row["value"]), row["text"]) for row in csv.DictReader(_lines(content))]
    assert rows == [
        (model, revenue, f"{money(revenue)} USD")
        for model, revenue in sql(
            """select model_id, sum(revenue) as revenue from marts.fct_daily_revenue
            where currency = 'usd' and date_day between '2026-10-01' and '2026-10-10'
            group by model_id order by revenue desc, model_id limit 12"""
        )
    ]
    picture = screen.main.get_by_role("button", name=f"Download the chart as PNG: {MODELS}")
    name, content = downloaded(screen, picture)
    assert (name[-4:], content[:8]) == (".png", b"\x89PNG\r\n\x1a\n")


def _lines(content: bytes) -> list[str]:
    return content.decode().splitlines()


@pytest.mark.soak
def test_a_cohort_leads_to_the_charges_of_its_month(screen: Screen, sql: Sql) -> None:
    screen.open("cohorts")
    drawn = chart(screen, RETENTION)
    heading, fields = hovered(screen, drawn, 0.2, 0.1)
    cohort, month = heading.removeprefix("Cohort ").split(" in ")
    first = datetime.strptime(month, "%b %Y").date()  # noqa: DTZ007  a month
    assert cohort == f"{first:%Y-%m}"
    assert fields["Retention"] == "100.0 %"
    assert fields["A click opens"] == f"the charges of {month}, of all users"
    click(screen, drawn, 0.2, 0.1)
    [(entries,)] = sql(
        """select count(*) from marts.fct_ledger_entries where currency = 'usd' and entry_type = 'charge'
            and entry_date >= $1 and entry_date < $1 + interval 1 month""",
        first,
    )
    assert f"of {entries:,}\n" in screen.text


@pytest.mark.soak
def test_no_cost_is_not_a_cost_of_zero(screen: Screen, sql: Sql) -> None:
    screen.open("models?period=All+time")
    rows: dict[str, Any] = {row["Model"]: row for row in screen.table("Usage by model")}
    for model, counted, without in sql(
        """select model_id, sum(counted_charges), sum(charges_without_cost) from marts.fct_daily_revenue
        where currency = 'usd' group by model_id"""
    ):
        row = rows[model]
        if counted and counted == without:
            assert (row["Provider cost (USD)"], row["Profit (USD)"], row["Margin"]) == ("–", "–", "–"), model
        else:
            assert row["Profit (USD)"].startswith("≤ ") == bool(without), model
    assert "Profit is too high where cost coverage is below 100 %" in screen.text
