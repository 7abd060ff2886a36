"""Deposits are reconciled with an export of the page "Payments" of Stripe's Dashboard.

The expected numbers are worked out by hand.
"""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.builders import adjustment, csv_text, land, landed, ledger_file, refund
from tests.support.erasure_homes import texts_of
from tests.support.harness import publish_home
from tests.support.oracle import LandedFile
from tests.support.payment_builders import (
    activity_file,
    charge_row,
    covering,
    credit,
    dispute_reversal_row,
    dispute_row,
    disputed,
    payment_row,
    refund_row,
    unified_file,
)
from tests.support.shared import in_soak

AS_OF = "2026-11-10T12:00:00Z"
OCTOBER = covering("2026-10-01", "2026-10-31")
PRIVATE = ("jenny@example.com", "Jenny Rosen")
USD_10 = payment_row("ch_1", "2026-10-05T10:00:00Z", "10.00", intent="pi_1", fee="0.59", user="of_stripe")
LATEST = payment_row("ch_7", "2026-10-20T10:00:00Z", "70.00", intent="pi_7", fee="2.33")
PAYMENTS = [
    USD_10,
    payment_row(
        "ch_2",
        "2026-10-06T10:00:00Z",
        "20.00",
        intent="pi_2",
        currency="eur",
        converted="21.80",
        fee="0.93",
        **{"Taxes On Fee": "0.07"},
    ),
    payment_row("ch_3", "2026-10-07T10:00:00Z", "30.00", intent="pi_3", refunded="12.50", fee="1.17"),
    payment_row(
        "ch_4",
        "2026-10-08T10:00:00Z",
        "40.00",
        "Refunded",
        intent="pi_4",
        refunded="40.00",
        fee="1.46",
        **{"Refunded date (UTC)": "2026-10-09 08:00:00"},
    ),
    payment_row("ch_5", "2026-10-09T10:00:00Z", "50.00", "Failed", intent="pi_5"),
    payment_row("ch_6", "2026-10-10T10:00:00Z", "60.00", intent="pi_6", fee="2.04", user="never_credited"),
    LATEST | disputed("70.00", "needs_response", "2026-10-25T10:00:00Z"),
    payment_row("ch_9", "2026-10-11T10:00:00Z", "90.00", intent="pi_9", fee="2.91")
    | disputed("90.00", "won", "2026-10-12T10:00:00Z"),
]
DEPOSITS = [
    credit("d1", "2026-10-05T10:00:30Z", "10", intent="pi_1"),
    credit("d2", "2026-10-06T10:00:30Z", "20", charge="ch_2", currency="eur"),
    credit("d3", "2026-10-07T10:00:30Z", "30", intent="pi_3"),
    credit("d4", "2026-10-08T10:00:30Z", "40", intent="pi_4"),
    refund("r4", "2026-10-09T08:00:30Z", "40", of="d4"),
    credit("d5", "2026-10-09T10:00:30Z", "50", intent="pi_5"),
    credit("d7", "2026-10-20T10:00:30Z", "70", intent="pi_7"),
    credit("d8", "2026-10-30T10:00:30Z", "80", intent="pi_8"),
    credit("d9", "2026-10-11T10:00:30Z", "90", intent="pi_9"),
]
CASES = [
    ("deposit:d5", "break", "ledger_only", None, None, None, None, None, None, None, None, None),
    ("deposit:d8", "pending", None, None, None, None, None, None, None, None, None, None),
    ("stripe:pi_1", "matched", None, "usd", "10", "0", "0", "usd", "10", "0.59", "9.41", "payment_intent"),
    ("stripe:pi_2", "matched", None, "eur", "20", "0", "0", "usd", "21.8", "1", "20.8", "charge"),
    (
        *("stripe:pi_3", "break", "refund_not_clawed_back", "usd", "30", "12.5", "0"),
        *("usd", "30", "1.17", "28.83", "payment_intent"),
    ),
    ("stripe:pi_4", "matched", None, "usd", "40", "40", "0", "usd", "40", "1.46", "38.54", "payment_intent"),
    ("stripe:pi_6", "break", "processor_only", "usd", "60", "0", "0", "usd", "60", "2.04", "57.96", None),
    (
        *("stripe:pi_7", "break", "dispute_not_clawed_back", "usd", "70", "0", "70"),
        *("usd", "70", "2.33", "67.67", "payment_intent"),
    ),
    ("stripe:pi_9", "matched", None, "usd", "90", "0", "0", "usd", "90", "2.91", "87.09", "payment_intent"),
]


def query(home: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        return connection.execute(sql).fetchall()


def cases(home: Path) -> list[tuple[Any, ...]]:
    """Return every case with its amounts as texts without zeros at the end."""
    found = query(
        home,
        """select case_id, status, break_type, paid_currency, paid_amount, refunded_amount, disputed_amount,
            settlement_currency, settled_gross, settled_fee, settled_net, match_method
        from marts.fct_reconciliation order by case_id""",
    )
    return [
        tuple(f"{one.normalize():f}" if isinstance(one, Decimal) else one for one in row) for row in found
    ]


def statuses(home: Path) -> dict[str, tuple[str, str | None]]:
    return {case_id: (status, break_type) for case_id, status, break_type, *_ in cases(home)}


def sources(home: Path) -> list[tuple[Any, ...]]:
    return query(
        home,
        """select source, account_id, records, data_until, verdict from marts.rpt_reconciliation_sources
        order by source, account_id""",
    )


def report_of_october() -> LandedFile:
    """The balance change report of the same payments."""
    rows = [
        charge_row("t1", "2026-10-05T10:00:00Z", "10.00", "0.59", intent="pi_1", charge="ch_1"),
        charge_row(
            *("t2", "2026-10-06T10:00:00Z", "21.80", "1.00"),
            paid="20.00",
            paid_currency="eur",
            intent="pi_2",
            charge="ch_2",
        ),
        charge_row("t3", "2026-10-07T10:00:00Z", "30.00", "1.17", intent="pi_3", charge="ch_3"),
        refund_row("t3r", "2026-10-08T10:00:00Z", "12.50", intent="pi_3", charge="ch_3"),
        charge_row("t4", "2026-10-08T10:00:00Z", "40.00", "1.46", intent="pi_4", charge="ch_4"),
        refund_row("t4r", "2026-10-09T08:00:00Z", "40.00", intent="pi_4", charge="ch_4"),
        charge_row("t6", "2026-10-10T10:00:00Z", "60.00", "2.04", charge="ch_6", intent="pi_6"),
        charge_row("t7", "2026-10-20T10:00:00Z", "70.00", "2.33", intent="pi_7", charge="ch_7"),
        dispute_row("t7d", "2026-10-25T10:00:00Z", "70.00", "15.00", intent="pi_7", charge="ch_7"),
        charge_row("t9", "2026-10-11T10:00:00Z", "90.00", "2.91", intent="pi_9", charge="ch_9"),
        dispute_row("t9d", "2026-10-12T10:00:00Z", "90.00", "15.00", intent="pi_9", charge="ch_9"),
        dispute_reversal_row(
            *("t9w", "2026-10-13T10:00:00Z", "90.00", "-15.00"), intent="pi_9", charge="ch_9"
        ),
    ]
    return activity_file(OCTOBER, rows)


def test_an_export_is_reconciled_and_a_report_of_the_same_days_changes_nothing(tmp_path: Path) -> None:
    export = unified_file("unified_payments.csv", PAYMENTS)
    land(tmp_path, [ledger_file("l.jsonl", DEPOSITS), export])
    publish_home(tmp_path, as_of=AS_OF)
    assert cases(tmp_path) == CASES
    assert query(tmp_path, "select count(*) from marts.fct_payouts") == [(0,)]
    assert query(tmp_path, "select count(*) from marts.fct_stripe_balances") == [(0,)]
    assert query(tmp_path, "select user_id from marts.fct_reconciliation where case_id = 'stripe:pi_6'") == [
        ("never_credited",)
    ]
    holders = [name for name, text in texts_of(tmp_path) if any(word in text for word in PRIVATE)]
    assert holders == [f"landing/{export.path}"]

    # Nothing is doubled, on the way of an incremental run and of a rebuild.
    land(tmp_path, [report_of_october()])
    publish_home(tmp_path, as_of=AS_OF)
    assert cases(tmp_path) == CASES
    publish_home(tmp_path, as_of=AS_OF, full_refresh=True)
    assert cases(tmp_path) == CASES


def test_an_export_alone_is_complete_as_far_as_it_reaches(tmp_path: Path) -> None:
    land(tmp_path, [ledger_file("l.jsonl", DEPOSITS[:1]), unified_file("unified_payments.csv", PAYMENTS)])
    publish_home(tmp_path, as_of=AS_OF)
    until = datetime(2026, 10, 20, 10, tzinfo=UTC)
    assert sources(tmp_path) == [
        ("stripe/checkout_sessions", "default", 0, None, "complete"),
        ("stripe/unified_payments", "default", 8, until, "complete"),
    ]
    # A credit after the last payment waits: what was paid after it, the export does not say.
    land(tmp_path, [ledger_file("m.jsonl", DEPOSITS[-2:-1])])
    publish_home(tmp_path, as_of=AS_OF)
    assert statuses(tmp_path)["deposit:d8"] == ("pending", None)
    assert sources(tmp_path)[-1] == ("stripe/unified_payments", "default", 8, until, "stale")


def test_days_in_the_name_state_how_far_an_export_reaches(tmp_path: Path) -> None:
    name = "unified_payments_2026-10-01_to_2026-11-09.csv"
    land(tmp_path, [ledger_file("l.jsonl", DEPOSITS), unified_file(name, PAYMENTS)])
    publish_home(tmp_path, as_of=AS_OF)
    assert statuses(tmp_path)["deposit:d8"] == ("break", "ledger_only")
    assert sources(tmp_path)[-1][3:] == (datetime(2026, 11, 10, tzinfo=UTC), "complete")


def test_a_month_between_two_exports_makes_no_break(tmp_path: Path) -> None:
    august = payment_row("ch_a", "2026-08-05T10:00:00Z", "5.00", intent="pi_a")
    land(
        tmp_path,
        [
            ledger_file("l.jsonl", [credit("d", "2026-09-10T10:00:30Z", "5", intent="pi_of_september")]),
            unified_file("august.csv", [august]),
            unified_file("october.csv", PAYMENTS),
        ],
    )
    publish_home(tmp_path, as_of=AS_OF)
    assert statuses(tmp_path)["deposit:d"] == ("pending", None)
    assert sources(tmp_path)[-1][3:] == (datetime(2026, 8, 5, 10, tzinfo=UTC), "gaps")


def test_a_later_export_replaces_what_an_earlier_one_states(tmp_path: Path) -> None:
    land(tmp_path, [ledger_file("l.jsonl", DEPOSITS[:1]), unified_file("a.csv", [USD_10, LATEST])])
    publish_home(tmp_path, as_of=AS_OF)
    assert statuses(tmp_path)["stripe:pi_1"] == ("matched", None)
    refunded = USD_10 | {"Status": "Refunded", "Amount Refunded": "10.00"}
    land(tmp_path, [unified_file("b.csv", [refunded])])
    publish_home(tmp_path, as_of=AS_OF)
    rows = {case_id: row for case_id, *row in cases(tmp_path)}
    assert rows["stripe:pi_1"][:5] == ["break", "refund_not_clawed_back", "usd", "10", "10"]
    assert rows["stripe:pi_7"][:5] == ["break", "processor_only", "usd", "70", "0"]
    assert len(rows) == 2


def test_a_refund_in_a_report_counts_for_a_payment_that_only_the_export_has(tmp_path: Path) -> None:
    november = refund_row("t", "2026-11-02T10:00:00Z", "4.00", intent="pi_1", charge="ch_1")
    land(
        tmp_path,
        [
            ledger_file("l.jsonl", [*DEPOSITS[:1], adjustment("a", AS_OF, "-4", related_id="d1")]),
            unified_file("unified_payments.csv", [USD_10]),
            activity_file(covering("2026-11-01", "2026-11-09"), [november]),
        ],
    )
    publish_home(tmp_path, as_of=AS_OF)
    [(case_id, status, _, _, paid, refunded, *_)] = cases(tmp_path)
    assert (case_id, status, paid, refunded) == ("stripe:pi_1", "matched", "10", "4")


def test_what_a_report_of_the_time_lacks_counts_nothing(tmp_path: Path) -> None:
    ledger = ledger_file("l.jsonl", DEPOSITS[:1])
    land(tmp_path, [ledger, unified_file("unified_payments.csv", [USD_10, LATEST])])
    header = activity_file("h.csv", [charge_row("t", AS_OF, "1", intent="pi")]).content.splitlines()[0]
    land(tmp_path, [landed("stripe/balance_change_from_activity.itemized.7", OCTOBER, header + b"\n")])
    publish_home(tmp_path, as_of=AS_OF)
    assert statuses(tmp_path) == {"deposit:d1": ("break", "ledger_only")}


def test_a_report_of_one_balance_says_nothing_about_another(tmp_path: Path) -> None:
    in_euros = USD_10 | {"Converted Currency": "eur", "Converted Amount": "9.00"}
    report = activity_file(
        covering("2026-10-01", "2026-10-31", stem="Report_USD"),
        [charge_row("t7", "2026-10-20T10:00:00Z", "70.00", "2.33", intent="pi_7", charge="ch_7")],
    )
    land(tmp_path, [ledger_file("l.jsonl", DEPOSITS[:1]), unified_file("u.csv", [in_euros, LATEST]), report])
    publish_home(tmp_path, as_of=AS_OF)
    assert statuses(tmp_path) == {
        "stripe:pi_1": ("matched", None),
        "stripe:pi_7": ("break", "processor_only"),
    }


def test_test_payments_do_not_count_beside_live_ones(tmp_path: Path) -> None:
    test = payment_row("ch_t", "2026-10-05T10:00:00Z", "99.00", intent="pi_t", Mode="Test")
    files = [unified_file("live.csv", [USD_10]), unified_file("test.csv", [test], mode="test")]
    land(tmp_path, [ledger_file("l.jsonl", DEPOSITS[:1]), *files])
    publish_home(tmp_path, as_of=AS_OF)
    assert statuses(tmp_path) == {"stripe:pi_1": ("matched", None)}


@pytest.mark.parametrize("separator", [";", *in_soak(",")])
def test_decimal_commas_are_those_of_the_whole_file(tmp_path: Path, separator: str) -> None:
    rows = [
        {
            name: str(value).replace(".", ",") if "Amount" in name or "Fee" in name else value
            for name, value in row.items()
        }
        for row in (
            USD_10 | {"Amount": "1061.50", "Converted Amount": "1061.50", "Disputed Amount": ""},
            LATEST | {"Amount": "500", "Disputed Amount": ""},
        )
    ]
    content = b"\n".join(
        separator.join(f'"{"" if value is None else value}"' for value in row).encode()
        for row in [list(rows[0]), *(row.values() for row in rows)]
    )
    land(
        tmp_path,
        [
            ledger_file("l.jsonl", [credit("d1", "2026-10-05T10:00:30Z", "1061.50", intent="pi_1")]),
            landed("stripe/unified_payments", "u.csv", content + b"\n"),
        ],
    )
    publish_home(tmp_path, as_of=AS_OF)
    found = {case_id: (row[3], row[7], row[8], row[9]) for case_id, *row in cases(tmp_path)}
    assert found == {
        "stripe:pi_1": ("1061.5", "1061.5", "0.59", "1060.91"),
        "stripe:pi_7": ("500", "70", "2.33", "67.67"),
    }


def test_a_payment_without_converted_columns_has_no_settled_amounts(tmp_path: Path) -> None:
    names = [name for name in USD_10 if not name.startswith("Converted")]
    content = csv_text([{name: USD_10[name] for name in names}], names)
    land(tmp_path, [landed("stripe/unified_payments", "u.csv", content)])
    publish_home(tmp_path, as_of=AS_OF)
    assert cases(tmp_path) == [
        ("stripe:pi_1", "break", "processor_only", "usd", "10", "0", "0", None, None, None, None, None)
    ]
