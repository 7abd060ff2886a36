"""Costs against bills on the dashboard: its numbers are those of the tables, and each case adds up."""

import csv
import io
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import BrowserContext

from dashboard.cost_break_help import WORDS
from dashboard.download_tables import TABLES
from dashboard.downloads import WrongDownloadError, cost_evidence_address, download_address, download_of
from dashboard.filters import Filters
from dashboard.queries import costs as cost_queries
from dashboard.queries.costs import CostSearch
from dashboard.queries.paging import PageRequest
from dashboard.snapshot import Publications, Snapshot
from tests.support.browser import Screen, published_alone, serving
from tests.support.dashboard_words import Sql, column, money, short
from tests.support.harness import publish_home
from tests.support.random_bills import build_case, write_landing
from tests.support.shared import in_soak, once

pytestmark = pytest.mark.slow

# Its reporting days are those of Los Angeles, while bills are by UTC day.
SEED = 4
OCTOBER = Filters(date(2026, 10, 1), date(2026, 11, 1), "usd")
MARTS = (
    "fct_bill_lines",
    "fct_cost_reconciliation",
    "fct_cost_reconciliation_history",
    "rpt_cost_reconciliation_months",
)


def bills(home: Path) -> None:
    case = build_case(SEED)
    write_landing(home / "landing", case)
    settings = case.settings
    publish_home(
        home, as_of=settings.as_of, reporting_timezone=settings.reporting_timezone, max_reject_ratio=0.05
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "costs-story", bills)


@pytest.fixture(scope="module")
def sql(home: Path) -> Iterator[Sql]:
    with duckdb.connect(str(published_file(home)), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")

        def rows(query: str, *values: Any) -> list[tuple[Any, ...]]:
            return connection.execute(query, list(values)).fetchall()

        yield rows


@pytest.fixture(scope="module")
def snapshot(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    found = Publications(published_file(home), tmp_path_factory.mktemp("spill")).current()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with serving(home) as base:
        yield base


@pytest.fixture
def screen(context: BrowserContext, address: str) -> Iterator[Screen]:
    screen = Screen(context, address)
    yield screen
    assert screen.complaints == []
    screen.page.close()


def published_file(home: Path) -> Path:
    return home / "published" / "warehouse.duckdb"


# ---- queries


@pytest.mark.parametrize("step", [5, *in_soak(1)])
def test_the_lines_and_charges_of_every_case_add_up_to_it(snapshot: Snapshot, sql: Sql, step: int) -> None:
    cases = snapshot.rows("select * from marts.fct_cost_reconciliation order by all")
    assert len(cases) > 100
    for row in cases[::step]:
        charges, lines = cost_queries.charge_sums(snapshot, row), cost_queries.line_sums(snapshot, row)
        assert charges == {"charges": row["charges"], "ledger_cost": row["ledger_cost"]}, row
        assert row["billed_cost"] in (None, lines["billed_cost"]), row
    # Each provider of the ledger is written in several ways.
    [(names,)] = sql(
        """select count(*) from (
            select provider from marts.fct_ledger_entries
            inner join ops.provider_names on billed_by = name where name <> provider group by provider
        ) as renamed"""
    )
    assert names > 0


def test_the_download_has_the_charges_and_lines_of_the_page(snapshot: Snapshot) -> None:
    page = PageRequest("occurred_at", descending=False, offset=0, limit=1000)
    lines_page = replace(page, sort="line")
    for row in snapshot.rows("select * from marts.fct_cost_reconciliation order by charges desc limit 5"):
        download = download_of("cost_evidence.zip", cost_evidence_address(row["case_id"]).partition("?")[2])
        found = {part.dataset.name: part for part in download.parts}
        for name, key, shown in (
            ("ledger", "entry_id", cost_queries.charges(snapshot, row, page)),
            ("bill_lines", "bill_line_id", cost_queries.lines(snapshot, row, lines_page)),
        ):
            [condition] = found[name].request.filters
            rows = snapshot.rows(
                f"select {key} from {found[name].dataset.relation} where {condition.sql}", condition.values
            )
            assert sorted(one[key] for one in rows) == sorted(one[key] for one in shown)
            assert shown or name == "bill_lines"


@pytest.mark.parametrize(
    ("search", "where"),
    [
        (CostSearch(), "currency = 'usd'"),
        (CostSearch(all_currencies=True), "true"),
        (
            CostSearch(
                providers=("openai", "acme"), months=("2026-10",), statuses=("break",), all_currencies=True
            ),
            "provider in ('openai', 'acme') and usage_date between '2026-10-01' and '2026-10-31'"
            " and status = 'break'",
        ),
        (
            CostSearch(break_types=("rate_mismatch", "token_mismatch"), in_period=True),
            "break_type in ('rate_mismatch', 'token_mismatch') and usage_date < '2026-11-01'"
            " and currency = 'usd'",
        ),
    ],
)
def test_cases_are_those_of_the_filters(snapshot: Snapshot, sql: Sql, search: CostSearch, where: str) -> None:
    page = PageRequest("priority", descending=False, offset=0, limit=1000)
    found = [row["case_id"] for row in cost_queries.cases(snapshot, OCTOBER, search, page)]
    expected = {
        case_id for (case_id,) in sql(f"select case_id from marts.fct_cost_reconciliation where {where}")
    }
    assert len(found) == cost_queries.case_counts(snapshot, OCTOBER, search) == len(expected) > 0
    assert set(found) == expected
    outside = cost_queries.urgent_outside(snapshot, OCTOBER, search)
    [(urgent,)] = sql(
        f"select count(*) from marts.fct_cost_reconciliation where priority = 1 and not ({where})"
    )
    assert sum(row["cases"] for row in outside) == urgent


def test_profit_at_bill_of_a_month_is_that_of_the_report(snapshot: Snapshot, sql: Sql) -> None:
    for currency in ("usd", "eur"):
        billed = cost_queries.billed_difference(snapshot, replace(OCTOBER, currency=currency))
        [(difference,)] = sql(
            "select cost_difference from marts.rpt_profit_at_bill"
            " where month_start = '2026-10-01' and currency = ?",
            currency,
        )
        assert billed is not None
        assert billed.difference == difference != 0
    days = sql(
        "select usage_date, status, difference, ledger_cost from marts.fct_cost_reconciliation"
        " where currency = 'usd' and usage_date < '2026-11-01'"
    )
    usd = cost_queries.billed_difference(snapshot, OCTOBER)
    assert usd is not None
    assert usd.days == len({day for day, *_ in days})
    compared = [row for row in days if row[1] != "pending" and row[2] is not None]
    assert usd.days_compared == len({day for day, *_ in compared})
    shares = [sum((cost or 0 for *_, cost in rows), Decimal(0)) for rows in (compared, days)]
    assert usd.compared_share == pytest.approx(float(shares[0] / shares[1]))
    # Bills know neither paywalls nor users.
    for limited in ({"paywalls": ("pw",)}, {"payer_types": ("new",)}, {"entry_types": ("charge",)}):
        assert cost_queries.billed_difference(snapshot, replace(OCTOBER, **limited)) is None
    assert cost_queries.billed_difference(snapshot, replace(OCTOBER, currency="jpy")) is None


@pytest.mark.parametrize("dataset", ["cost_reconciliation", "cost_months", "bill_lines"])
def test_downloads_have_addresses(dataset: str) -> None:
    more = {"provider": ["openai"]} if "provider" in TABLES[dataset].parameters else {}
    path, _, query = download_address(dataset, "csv", OCTOBER, **more).partition("?")
    download = download_of(path.rpartition("/")[2], query)
    assert download.parts[0].dataset.name == dataset


@pytest.mark.parametrize("query", ["", "case=", "case=a&case=b", "to=2026-10-01"])
def test_there_is_no_evidence_without_one_case(query: str) -> None:
    with pytest.raises(WrongDownloadError, match="parameter"):
        download_of("cost_evidence.zip", query)


# ---- pages


def test_the_page_has_the_money_at_risk_and_the_months(screen: Screen, sql: Sql) -> None:
    screen.open("costs")
    assert screen.page.title() == "Costs · paywall-warehouse"
    [(cases, matched, breaks, urgent)] = sql(
        "select count(*), count(*) filter (where status = 'matched'),"
        " count(*) filter (where status = 'break'), count(*) filter (where priority = 1)"
        " from marts.fct_cost_reconciliation"
    )
    assert f"{breaks} open breaks, {urgent} of priority 1." in screen.text
    assert f"{cases} cases in all currencies: {matched} matched, {breaks} with a break" in screen.text
    at_risk = "sum(abs(coalesce(difference, billed_cost, 0)))"
    expected = sql(
        f"select priority, break_type, currency, count(*), {at_risk}, sum(difference)"
        " from marts.fct_cost_reconciliation where status = 'break' group by all"
    )
    shown = [
        tuple(row[name] for name in ("Priority", "Code", "Currency", "Cases", "At risk", "Billed − recorded"))
        for row in screen.table("Open cost breaks by type")
    ]
    assert sorted(shown) == sorted(
        (str(priority), code, currency.upper(), str(count), money(amount), money(difference))
        for priority, code, currency, count, amount, difference in expected
    )
    assert {label: tile.value for label, tile in screen.tiles().items()} == {
        f"At risk in {currency.upper()}": short(amount)
        for currency, amount in sql(
            f"select currency, {at_risk} from marts.fct_cost_reconciliation where status = 'break' group by 1"
        )
    }
    months = sql(
        "select month_start, provider, currency, ledger_cost, billed_cost, difference, invoiced_amount,"
        " invoice_difference, days_compared, verdict from marts.rpt_cost_reconciliation_months"
        " order by month_start desc, provider, currency"
    )
    assert [list(row.values()) for row in screen.table("Months of costs")] == [
        [
            f"{month:%Y-%m}",
            provider,
            currency.upper(),
            verdict if verdict == "complete" else f"⚠ {verdict}",
            f"{days} of {31 if month.month == 10 else 30}",
            *map(money, amounts),
        ]
        for month, provider, currency, *amounts, days, verdict in months
    ]
    # The lines to copy have every name on bills that is unknown.
    unknown = sql(
        "select distinct provider, model_as_billed from marts.fct_bill_lines"
        " where model_id = 'unknown' and model_as_billed is not null"
    )
    header, *lines = list(csv.reader(io.StringIO(screen.codes[0])))
    assert header == ["provider", "model_as_billed", "model_id"]
    assert sorted((provider, name) for provider, name, _ in lines) == sorted(unknown)


def test_a_month_leads_to_its_cases_and_a_case_to_its_evidence(screen: Screen, sql: Sql) -> None:
    screen.open(
        "costs?provider=openai&provider=nobody&month=2026-10&cost_break=token_mismatch&cost_status=odd"
    )
    assert "The provider “nobody” does not exist; it is left out of the filter." in screen.text
    assert "The case status “odd” does not exist" in screen.text
    rows = screen.table("Months of costs")
    assert set(column(rows, "Provider")) == {"openai"}
    [(case_id, day, model, *numbers)] = sql(
        "select case_id, usage_date, model_id, ledger_cost, billed_cost, difference, volume_difference,"
        " rate_difference"
        " from marts.fct_cost_reconciliation where provider = 'openai' and break_type = 'token_mismatch'"
        " and usage_date between '2026-10-01' and '2026-10-31' and currency = 'usd'"
        " order by abs(difference) desc, usage_date desc, case_id limit 1"
    )
    [first, *_] = screen.table("Cost cases")
    names = ("Recorded", "Billed", "Billed − recorded", "Of it volume", "Of it rate")
    assert (first["Day (UTC)"], first["Model"]) == (f"{day}", model)
    assert [first[name] for name in names] == list(map(money, numbers))
    screen.open_row("Cost cases", 0)
    assert screen.codes[0] == case_id
    assert "Other tokens, priority 2" in screen.text
    assert "Volume: it has" in screen.text
    assert screen.text.count("as in the case") == 2
    assert "the case has other numbers" not in screen.text
    with screen.page.expect_download() as started:
        screen.page.get_by_role("link", name="Download the evidence").click()
    with zipfile.ZipFile(started.value.path()) as archive:
        files = {
            name.removesuffix(".csv"): list(csv.DictReader(io.StringIO(archive.read(name).decode())))
            for name in archive.namelist()
        }
    assert list(files) == [
        "cost_reconciliation",
        "bill_lines",
        "ledger",
        "cost_reconciliation_history",
        "runs",
    ]
    [case] = files["cost_reconciliation"]
    assert (case["case_id"], Decimal(case["difference"])) == (case_id, numbers[2])
    assert sum(Decimal(row["billed_amount"]) for row in files["bill_lines"]) == numbers[1]
    assert sum(Decimal(row["provider_cost"] or 0) for row in files["ledger"]) == numbers[0]
    assert len(files["ledger"]) == int(case["charges"])
    screen.go("All cases of openai in 2026-10")
    assert {row["Provider"] for row in screen.table("Cost cases")} == {"openai"}


def test_the_overview_has_the_profit_at_bill(screen: Screen, sql: Sql) -> None:
    screen.open("?period=Previous+month")
    [(at_bill, difference)] = sql(
        "select profit_at_bill, cost_difference from marts.rpt_profit_at_bill"
        " where month_start = '2026-10-01' and currency = 'usd'"
    )
    tile = screen.tiles()["Profit at bill"]
    sign = "-" if difference > 0 else "+"
    # Some cost is unknown, so that the profit is an upper bound.
    assert tile.value == f"≤ {short(at_bill)} USD"
    assert tile.change == f"{sign}{short(abs(difference))} USD"
    [(compared, days)] = sql(
        "select count(distinct usage_date) filter (where status <> 'pending' and difference is not null),"
        " count(distinct usage_date) from marts.fct_cost_reconciliation"
        " where currency = 'usd' and usage_date between '2026-10-01' and '2026-10-31'"
    )
    assert tile.before == f"{compared} of {days} days compared"
    assert "Bills are compared on" in screen.text


@pytest.mark.soak
def test_a_case_that_does_not_exist_is_reported(screen: Screen) -> None:
    screen.open("costcase?case=%3Cb%3Enobody")
    assert "Nothing is published under this id." in screen.text
    assert screen.codes == ["<b>nobody"]


def changed(home: Path, change: Callable[[duckdb.DuckDBPyConnection], object]) -> None:
    """Publish a changed copy in place of what a home has published."""
    file = published_file(home)
    copy = file.with_suffix(".next")
    shutil.copy(file, copy)
    with duckdb.connect(str(copy)) as connection:
        change(connection)
    os.replace(copy, file)


@pytest.mark.soak
def test_without_bills_the_page_says_what_to_do_and_nothing_else_changes(
    home: Path, context: BrowserContext, tmp_path: Path
) -> None:
    alone = published_alone(home, tmp_path / "alone")
    emptied = [f"delete from marts.{name}" for name in MARTS]
    failed = "insert into ops.failed_pulls values ('bills/openai_costs', '2026-11-12 08:00:00Z', 'key <b>')"
    changed(alone, lambda connection: [connection.execute(one) for one in (*emptied, failed)])
    with serving(alone) as base:
        screen = Screen(context, base).open("costs")
        assert "No bill has landed yet: put the cost downloads of your providers into" in screen.text
        assert "OPENAI_ADMIN_KEY" in screen.text
        # Los Angeles is 8 hours behind in November.
        assert "bills/openai_costs could not be pulled on 2026-11-12 00:00:00: key <b>" in screen.text
        assert screen.page.get_by_test_id("stAlertContentSuccess").count() == 0
        changed(
            alone,
            lambda connection: [
                connection.execute(f"drop table {name}")
                for name in (*(f"marts.{mart}" for mart in MARTS), "ops.provider_names")
            ],
        )
        assert "was written by an earlier version" in screen.open("costs").text
        assert "Profit at bill" not in screen.open("?period=Previous+month").tiles()
        assert (screen.errors(), screen.complaints) == ([], [])
        screen.page.close()


def test_words_of_breaks_are_codes_of_the_table(sql: Sql) -> None:
    codes = sql("select distinct break_type from marts.fct_cost_reconciliation where break_type is not null")
    assert {code for (code,) in codes} <= set(WORDS)
