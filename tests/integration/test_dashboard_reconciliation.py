"""The page of reconciliation in a browser: what is at risk is found in any currency, with its evidence, and
nothing is green that was not compared.
"""

import csv
import io
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from playwright.sync_api import BrowserContext

from dashboard.filters import Filters
from dashboard.queries import reconciliation as reconciliation_queries
from dashboard.queries.reconciliation import CaseSearch
from dashboard.snapshot import Publications
from orchestration.cli.status import status_lines
from paywall_warehouse.settings import load_settings
from tests.support.browser import Screen, serving
from tests.support.builders import land, ledger_file
from tests.support.dashboard_words import column
from tests.support.harness import publish_home
from tests.support.payment_builders import (
    activity_file,
    charge_row,
    covering,
    credit,
    payments_file,
    payout_item,
    payout_items_file,
    payout_row,
    payouts_file,
    rail_payment,
)
from tests.support.shared import once

pytestmark = pytest.mark.slow

AS_OF = "2026-11-10T12:00:00Z"
NOON = "2026-10-05T12:00:00Z"
MARKUP = "<img src=x onerror=alert(1)>"


def story(home: Path) -> None:
    """A ledger in dollars. Priority 1: 250 CHF and 500 JPY that nobody credited, 20 USD with a suggested
    deposit, and 30 USD credited twice. Priority 2: 10 USD credited as 9.25.
    """
    paid = [
        charge_row("txn_1", NOON, "10.00", "0.59", intent="pi_1", charge="ch_1"),
        charge_row("txn_2", NOON, "20.00", "0.88", intent="pi_2", charge="ch_2", user="bob"),
        charge_row("txn_3", NOON, "30.00", "1.17", intent="pi_3", charge="ch_3"),
    ]
    entries = [
        credit("d1", NOON, "9.25", intent="pi_1"),
        credit("d2", NOON, "20", user="bob"),
        credit("d3", NOON, "30", intent="pi_3"),
        credit("d3 again", NOON, "30", intent="pi_3"),
    ]
    wires = [
        rail_payment("wire", "W-1", NOON, "250.00", currency="chf", metadata={"user": "carol"}),
        rail_payment("wire", f"{MARKUP}{'x' * 200}", NOON, "500", currency="jpy"),
    ]
    out = "2026-10-22T00:00:00Z"
    # 9.41 + 19.12 = 28.53, and 28.83 for po_2.
    payouts = [payout_row("po_1", out, "28.53"), payout_row("po_2", "2026-10-20T00:00:00Z", "28.84")]
    items = [
        payout_item(paid[0], "po_1", out),
        payout_item(paid[1], "po_1", out),
        payout_item(paid[2], "po_2", "2026-10-20T00:00:00Z"),
    ]
    files = [
        ledger_file("l.jsonl", entries),
        activity_file(covering("2026-10-01", "2026-11-09"), paid),
        payments_file("wire.jsonl", wires),
        payouts_file(covering("2026-10-01", "2026-11-09", stem="Payouts"), payouts),
        payout_items_file(covering("2026-10-01", "2026-11-09", stem="Items"), items),
    ]
    land(home, files)
    publish_home(home, as_of=AS_OF)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "reconciliation-story", story)


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with serving(home) as base:
        yield base


@contextmanager
def watched(context: BrowserContext, base: str) -> Iterator[Screen]:
    screen = Screen(context, base)
    yield screen
    assert screen.complaints == []
    screen.page.close()


@pytest.fixture
def screen(context: BrowserContext, address: str) -> Iterator[Screen]:
    with watched(context, address) as screen:
        yield screen


def test_a_payment_in_a_currency_without_ledger_is_seen_and_found_with_its_evidence(screen: Screen) -> None:
    screen.open("reconciliation")
    rows = screen.table("Open breaks by type")
    assert [list(row.values())[:5] for row in rows if row["Code"] == "processor_only"] == [
        ["1", "Paid, not credited", "250.00", "CHF", "1"],
        ["1", "Paid, not credited", "500", "JPY", "1"],
        ["1", "Paid, not credited", "20.00", "USD", "1"],
    ]
    assert "wire:W-1" not in column(screen.table("Reconciliation cases"), "Case")
    assert "2 breaks of priority 1 are outside the filters (250.00 CHF, 500 JPY)" in screen.text
    screen.go("Show all open breaks")
    assert "outside the filters" not in screen.text
    cases = screen.table("Reconciliation cases")
    assert [row["At risk"] for row in cases] == [
        "500 JPY",
        "250.00 CHF",
        "30.00 USD",
        "20.00 USD",
        "10.00 USD",
    ]
    screen.open_row("Reconciliation cases", 1)
    assert screen.codes[0] == "wire:W-1"
    assert "Credit 250.00 CHF to the user" in screen.text
    with screen.page.expect_download() as started:
        screen.page.get_by_role("link", name="Download the evidence").click()
    assert started.value.suggested_filename == "evidence-wire-W-1.zip"
    with zipfile.ZipFile(started.value.path()) as archive:
        assert archive.namelist() == [
            "reconciliation.csv",
            "ledger.csv",
            "reconciliation_history.csv",
            "runs.csv",
        ]
        files = {name: _rows(archive.read(name)) for name in archive.namelist()}
    [case] = files["reconciliation.csv"]
    assert (case["case_id"], case["paid_amount"], case["break_type"]) == (
        "wire:W-1",
        "250.000000000000",
        "processor_only",
    )
    assert files["ledger.csv"] == []
    [event] = files["reconciliation_history.csv"]
    assert (event["case_id"], event["opened_at"][:10]) == ("wire:W-1", "2026-10-08")
    assert files["runs.csv"][0]["as_of"] == "2026-11-10T12:00:00.000000Z"


def _rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_the_money_at_risk_is_that_of_status(screen: Screen, home: Path) -> None:
    screen.open("reconciliation")
    shown = [
        (row["Cases"], row["Code"], row["Priority"], row["Currency"].lower(), Decimal(row["At risk"]))
        for row in screen.table("Open breaks by type")
    ]
    lines = [line.split() for line in status_lines(load_settings(_env_file=None, warehouse_home=home))]
    reported = [
        (words[0], words[2], words[4], words[7], Decimal(words[6]))
        for words in lines
        if len(words) > 7 and words[1] == "×"
    ]
    assert sorted(shown) == sorted(reported)
    assert len(shown) == 5
    assert {label: tile.value for label, tile in screen.tiles().items()} == {
        "At risk in USD": "60.00",
        "At risk in CHF": "250.00",
        "At risk in JPY": "500",
    }


@pytest.mark.soak
def test_a_type_leads_to_its_cases_in_its_currency(screen: Screen) -> None:
    screen.open("reconciliation?case_status=matched")
    rows = screen.table("Open breaks by type")
    number = next(number for number, row in enumerate(rows) if row["Currency"] == "CHF")
    screen.open_row("Open breaks by type", number)
    assert column(screen.table("Reconciliation cases"), "Case") == ["wire:W-1"]
    # An address may have the code, too.
    screen.open("reconciliation?break_type=duplicate_deposit")
    cases = screen.table("Reconciliation cases")
    assert [(row["Case"], row["Difference"]) for row in cases] == [("stripe:pi_3", "30.00")]
    screen.open("reconciliation?break_type=of_tomorrow")
    assert "of_tomorrow" in screen.text
    assert len(screen.table("Reconciliation cases")) == 3


def test_a_suggested_deposit_is_named_and_linked_and_nobody_is_credited_twice(screen: Screen) -> None:
    screen.open("case?case=stripe%3Api_2")
    assert "the user probably has the credit already" in screen.text
    assert "Do not credit again. Check the suggested deposit: d2." in screen.text
    assert "metadata.payment_intent = pi_2" in screen.text
    assert [row["Role"] for row in screen.table("Entries of the case")] == ["suggested deposit"]
    screen.go("d2")
    assert screen.address.startswith("entry?entry=d2")


@pytest.mark.soak
def test_cases_are_downloaded_as_they_are_filtered(screen: Screen, home: Path) -> None:
    screen.open("reconciliation?all_currencies=true&break_type=Paid%2C+not+credited")
    screen.expand("Download reconciliation")
    with screen.page.expect_download() as started:
        screen.page.get_by_role("link", name="Download", exact=True).click()
    assert started.value.suggested_filename == "reconciliation-all_currencies.csv"
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        expected = connection.execute(
            "select case_id, cast(paid_amount as varchar) from marts.fct_reconciliation"
            " where status = 'break' and break_type = 'processor_only' order by case_id"
        ).fetchall()
    rows = _rows(started.value.path().read_bytes())
    assert [(row["case_id"], row["paid_amount"]) for row in rows] == expected
    assert len(expected) == 3


@pytest.mark.soak
def test_a_payout_that_does_not_add_up_comes_first(screen: Screen) -> None:
    screen.open("reconciliation?period=Last+90+days")
    rows = screen.table("Payouts of the period")
    assert [(row["Adds up"], row["Payout"], row["Difference"]) for row in rows] == [
        ("⚠ no", "po_2", "0.01"),
        ("yes", "po_1", "0.00"),
    ]
    assert "Payouts that do not equal the sum of their items, on all days: 1 in USD" in screen.text
    assert "No balance summary in USD" in screen.text


@pytest.mark.soak
def test_markup_in_an_id_is_text(screen: Screen) -> None:
    screen.open("reconciliation?all_currencies=true")
    assert screen.main.locator("img").count() == 0
    screen.open_row("Reconciliation cases", 0)
    assert screen.codes[0] == f"wire:{MARKUP}{'x' * 200}"
    assert screen.main.locator("img").count() == 0
    assert f"metadata.payment_id = {MARKUP}" in screen.text
    assert "The payment names no user." in screen.text
    screen.open("reconciliation?break_type=%3Cb%3Ex%3C%2Fb%3E")
    assert "<b>x</b>" in screen.text


def test_cases_without_a_currency_or_an_amount_count(home: Path, tmp_path: Path) -> None:
    """A damaged file: 30 USD credited twice lose their currency, 20 USD both of their amounts, and of
    10 USD only the credit of 9.25 is known, while the customer paid in euros.
    """
    file = tmp_path / "warehouse.duckdb"
    shutil.copy(home / "published" / "warehouse.duckdb", file)
    with duckdb.connect(str(file)) as connection:
        for case_id, changes in {
            "stripe:pi_3": "paid_currency = null, ledger_currency = null",
            "stripe:pi_2": "paid_amount = null, ledger_amount = null",
            "stripe:pi_1": "paid_amount = null, paid_currency = 'eur'",
        }.items():
            connection.execute(f"update marts.fct_reconciliation set {changes} where case_id = ?", [case_id])
    snapshot = Publications(file, tmp_path).current()
    assert snapshot is not None
    at_risk = {
        row["currency_at_risk"]: (row["cases"], row["amount_at_risk"], row["of_unknown_amount"])
        for row in reconciliation_queries.at_risk(snapshot)
    }
    assert at_risk == {
        "chf": (1, Decimal(250), 0),
        "jpy": (1, Decimal(500), 0),
        "usd": (2, Decimal("9.25"), 1),
        None: (1, Decimal(30), 0),
    }
    days = Filters(date(2026, 10, 1), date(2026, 11, 1), "usd")
    breaks = CaseSearch(("break",))
    outside = reconciliation_queries.urgent_outside(snapshot, days, breaks)
    assert {row["currency_at_risk"] for row in outside} == {"chf", "jpy", None}
    everything = CaseSearch(("break",), all_currencies=True)
    assert reconciliation_queries.urgent_outside(snapshot, days, everything) == []


def test_what_was_not_compared_is_not_green(context: BrowserContext, tmp_path: Path) -> None:
    home = tmp_path / "home"
    land(home, [ledger_file("l.jsonl", [credit("d1", NOON, "10", intent="pi_1")])])
    publish_home(home, as_of=AS_OF)
    with serving(home) as base, watched(context, base) as screen:
        screen.open("reconciliation")
        assert "No open breaks among the cases that could be compared, but not everything could be." in (
            screen.text
        )
        assert "Not compared yet:" in screen.text
        assert "stripe/balance_change_from_activity.itemized is missing" in screen.text
        assert "1 pending" in screen.text
        assert screen.page.get_by_test_id("stAlertContentSuccess").count() == 0
