"""What the bank got, however a file signs its payouts: whole runs, with values worked out by hand."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.builders import land
from tests.support.harness import RunResult, publish_home, run_pipeline
from tests.support.payment_builders import (
    Record,
    activity_file,
    charge_row,
    covering,
    payout_item,
    payout_items_file,
    payout_row,
    payouts_file,
    summary_file,
    summary_rows,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

AS_OF = "2026-11-10T12:00:00Z"
OUT = "2026-10-08T00:00:00Z"


def run(home: Path) -> RunResult:
    return run_pipeline(home, as_of=AS_OF)


def query(home: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def amounts(home: Path) -> dict[str, Decimal]:
    return dict(query(home, "select payout_id, amount from marts.fct_payouts"))


def of_others(row: Record) -> Record:
    """The row as a file states it that shows what was paid out."""
    return row | {name: str(-Decimal(row[name])) for name in ("gross", "net")}


def test_one_currency_does_not_turn_the_payouts_of_another(tmp_path: Path) -> None:
    # -100 USD went to the bank; 10,000 JPY were taken from it. -100 + 10,000 = 9,900 once said that both were
    # the other way round.
    rows = [payout_row("po_usd", OUT, "100.00"), payout_row("po_jpy", OUT, "-10000", currency="jpy")]
    opening = {"usd": Decimal("100.00"), "jpy": Decimal("-10000")}
    files = [
        activity_file(covering("2026-10-01", "2026-10-31"), []),
        payouts_file(covering("2026-10-01", "2026-10-31", stem="Payouts"), rows),
        summary_file(covering("2026-10-01", "2026-10-31", stem="Balance"), summary_rows(opening, [], rows)),
    ]
    land(tmp_path, files)
    publish_home(tmp_path, as_of=AS_OF)
    assert amounts(tmp_path) == {"po_usd": Decimal(100), "po_jpy": Decimal(-10000)}
    sums = query(
        tmp_path,
        "select currency, payouts, itemized_payouts from marts.fct_stripe_balances order by currency",
    )
    assert sums == [("jpy", -10000, -10000), ("usd", 100, 100)]


@pytest.mark.soak
def test_each_file_of_an_account_may_sign_payouts_its_own_way(tmp_path: Path) -> None:
    land(
        tmp_path,
        [
            payouts_file("stripes.csv", [payout_row("po_1", OUT, "100.00")]),
            # More than the other file has: the sum of both is above zero.
            payouts_file("of others.csv", [of_others(payout_row("po_2", OUT, "400.00"))]),
        ],
    )
    result = run(tmp_path)
    assert result.exit_code == 0, result
    assert amounts(tmp_path) == {"po_1": Decimal(100), "po_2": Decimal(400)}


@pytest.mark.soak
def test_signs_that_contradict_each_other_are_refused_until_a_file_decides(tmp_path: Path) -> None:
    rows = [
        payout_row("po_out", OUT, "100.00"),
        payout_row("po_debit", OUT, "-50.00"),
        payout_row("po_eur", OUT, "7.00", currency="eur"),
    ]
    land(tmp_path, [payouts_file("october.csv", rows, account="acct_1")])
    result = run(tmp_path)
    assert result.exit_code == 1, result
    assert (
        "stripe_payouts_have_one_sign (stripe/payouts.itemized.5/acct_1/october.csv:2 acct_1 usd)"
        in result.output
    )
    assert "Land the payout reconciliation" in result.output
    assert "acct_1 eur" not in result.output
    # 109.00 - 9.00 of fees were paid out; 50.00 had been lost to a dispute.
    items = [
        payout_item(
            charge_row("txn_1", "2026-10-05T10:00:00Z", "109.00", "9.00", charge="ch_1"), "po_out", OUT
        ),
        payout_item(charge_row("txn_2", "2026-10-05T10:00:00Z", "-50.00", charge="ch_2"), "po_debit", OUT),
    ]
    land(tmp_path, [payout_items_file("items.csv", items, account="acct_1")])
    result = run(tmp_path)
    assert result.exit_code == 0, result
    assert amounts(tmp_path) == {"po_out": Decimal(100), "po_debit": Decimal(-50), "po_eur": Decimal(7)}
    assert query(tmp_path, "select count(*) from marts.fct_payouts where is_reconciled") == [(2,)]
