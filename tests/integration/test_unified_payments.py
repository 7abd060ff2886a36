"""Deposits are reconciled with an export of the page "Payments" of Stripe's Dashboard.

The expected numbers are worked out by hand.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.builders import Record, adjustment, csv_text, land, landed, ledger_file, refund
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


@dataclass(frozen=True)
class Night:
    """What a run published."""

    cases: list[tuple[Any, ...]]
    sources: list[tuple[Any, ...]]
    payouts_and_balances: list[tuple[int, int]]
    private: list[str]
    """The files of the home with private words of the export."""


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> list[Night]:
    """An export beside one credit, then all credits, then a report of the same days, then a rebuild."""
    home, published = tmp_path_factory.mktemp("october"), []
    for number, files in enumerate(
        (
            [ledger_file("l.jsonl", DEPOSITS[:1]), EXPORT],
            [ledger_file("m.jsonl", DEPOSITS[1:])],
            [report_of_october()],
            [],
        )
    ):
        land(home, files)
        publish_home(home, as_of=AS_OF, full_refresh=number == 3)
        published.append(
            Night(
                cases(home),
                sources(home),
                query(
                    home,
                    """select (select count(*) from marts.fct_payouts),
                    (select count(*) from marts.fct_stripe_balances)""",
                ),
                [name for name, text in texts_of(home) if any(word in text for word in PRIVATE)],
            )
        )
        if number == 1:
            assert query(home, USER_OF_6) == [("never_credited",)]
    return published


EXPORT = unified_file("unified_payments.csv", PAYMENTS)
USER_OF_6 = "select user_id from marts.fct_reconciliation where case_id = 'stripe:pi_6'"
UNTIL = datetime(2026, 10, 20, 10, tzinfo=UTC)


def test_an_export_is_reconciled_and_a_report_of_the_same_days_changes_nothing(nights: list[Night]) -> None:
    _, of_export, with_report, rebuilt = nights
    assert of_export.cases == CASES
    assert of_export.payouts_and_balances == [(0, 0)]
    # Nothing is doubled, on the way of an incremental run and of a rebuild.
    assert with_report.cases == CASES
    assert rebuilt.cases == CASES


def test_private_words_of_an_export_are_nowhere_else(nights: list[Night]) -> None:
    assert [night.private for night in nights] == [[f"landing/{EXPORT.path}"]] * 4


def test_an_export_alone_is_complete_as_far_as_it_reaches(nights: list[Night]) -> None:
    first, second, *_ = nights
    assert first.sources == [
        ("stripe/checkout_sessions", "default", 0, None, "complete"),
        ("stripe/unified_payments", "default", 8, UNTIL, "complete"),
    ]
    # A credit after the last payment waits: what was paid after it, the export does not say.
    assert ("deposit:d8", "pending", None) in [row[:3] for row in second.cases]
    assert second.sources[-1] == ("stripe/unified_payments", "default", 8, UNTIL, "stale")


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


def test_what_a_report_of_the_time_lacks_counts_nothing(tmp_path: Path) -> None:
    ledger = ledger_file("l.jsonl", DEPOSITS[:1])
    land(tmp_path, [ledger, unified_file("unified_payments.csv", [USD_10, LATEST])])
    header = activity_file("h.csv", [charge_row("t", AS_OF, "1", intent="pi")]).content.splitlines()[0]
    land(tmp_path, [landed("stripe/balance_change_from_activity.itemized.7", OCTOBER, header + b"\n")])
    publish_home(tmp_path, as_of=AS_OF)
    assert statuses(tmp_path) == {"deposit:d1": ("break", "ledger_only")}


# ---- accounts with an export each


def ten(account: str) -> Record:
    return payment_row(
        f"ch_{account}_1", "2026-10-05T10:00:00Z", "10.00", intent=f"pi_{account}_1", fee="0.59"
    )


def seventy(account: str) -> Record:
    return payment_row(
        f"ch_{account}_7", "2026-10-20T10:00:00Z", "70.00", intent=f"pi_{account}_7", fee="2.33"
    )


def credited(account: str, amount: str = "10") -> Record:
    return credit(f"d_{account}", "2026-10-05T10:00:30Z", amount, intent=f"pi_{account}_1")


def export_of(account: str, *rows: Record, name: str = "u.csv", mode: str | None = None) -> LandedFile:
    return unified_file(name, rows, account=f"acct_{account}", mode=mode)


def report_of(account: str, name: str, row: Record) -> LandedFile:
    return activity_file(name, [row], account=f"acct_{account}")


SEPARATORS = {"semicolon": ";", "comma": ","}


def with_decimal_commas(account: str, separator: str) -> LandedFile:
    rows = [
        {
            name: str(value).replace(".", ",") if "Amount" in name or "Fee" in name else value
            for name, value in row.items()
        }
        for row in (
            ten(account) | {"Amount": "1061.50", "Converted Amount": "1061.50", "Disputed Amount": ""},
            seventy(account) | {"Amount": "500", "Disputed Amount": ""},
        )
    ]
    content = b"\n".join(
        separator.join(f'"{"" if value is None else value}"' for value in row).encode()
        for row in [list(rows[0]), *(row.values() for row in rows)]
    )
    return landed(f"stripe/unified_payments/acct_{account}", "u.csv", content + b"\n")


def without_converted_columns(account: str) -> LandedFile:
    row = ten(account)
    names = [name for name in row if not name.startswith("Converted")]
    content = csv_text([{name: row[name] for name in names}], names)
    return landed(f"stripe/unified_payments/acct_{account}", "u.csv", content)


ACCOUNTS = [
    ledger_file(
        "l.jsonl",
        [
            *map(credited, ("later", "refunded", "balance", "trial")),
            *(credited(account, "1061.50") for account in SEPARATORS),
            adjustment("a", AS_OF, "-4", related_id="d_refunded"),
        ],
    ),
    export_of("later", ten("later"), seventy("later"), name="a.csv"),
    export_of("refunded", ten("refunded")),
    report_of(
        "refunded",
        covering("2026-11-01", "2026-11-09"),
        refund_row("t", "2026-11-02T10:00:00Z", "4.00", intent="pi_refunded_1", charge="ch_refunded_1"),
    ),
    export_of(
        "balance",
        ten("balance") | {"Converted Currency": "eur", "Converted Amount": "9.00"},
        seventy("balance"),
    ),
    report_of(
        "balance",
        covering("2026-10-01", "2026-10-31", stem="Report_USD"),
        charge_row(
            *("t7", "2026-10-20T10:00:00Z", "70.00", "2.33"), intent="pi_balance_7", charge="ch_balance_7"
        ),
    ),
    export_of("trial", ten("trial"), name="live.csv"),
    export_of("trial", seventy("trial") | {"Mode": "Test"}, name="test.csv", mode="test"),
    *(with_decimal_commas(account, separator) for account, separator in SEPARATORS.items()),
    without_converted_columns("plain"),
]
REFUNDED_LATER = export_of(
    "later", ten("later") | {"Status": "Refunded", "Amount Refunded": "10.00"}, name="b.csv"
)
AllCases = dict[str, tuple[Any, ...]]


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> tuple[AllCases, AllCases]:
    """The cases of all accounts, before and after a later export of one of them."""
    home, found = tmp_path_factory.mktemp("accounts"), []
    for files in (ACCOUNTS, [REFUNDED_LATER]):
        land(home, files)
        publish_home(home, as_of=AS_OF)
        found.append({case_id: tuple(row) for case_id, *row in cases(home)})
    first, second = found
    return first, second


def of_account(found: AllCases, account: str) -> AllCases:
    """Return the cases of the payments and credits of one account."""
    return {case_id: row for case_id, row in found.items() if f"_{account}" in case_id}


def test_a_later_export_replaces_what_an_earlier_one_states(accounts: tuple[AllCases, AllCases]) -> None:
    before, after = (of_account(found, "later") for found in accounts)
    assert before["stripe:pi_later_1"][:2] == ("matched", None)
    assert {case_id: row[:5] for case_id, row in after.items()} == {
        "stripe:pi_later_1": ("break", "refund_not_clawed_back", "usd", "10", "10"),
        "stripe:pi_later_7": ("break", "processor_only", "usd", "70", "0"),
    }


def test_a_refund_in_a_report_counts_for_a_payment_that_only_the_export_has(
    accounts: tuple[AllCases, AllCases],
) -> None:
    [(case_id, (status, _, _, paid, refunded, *_))] = of_account(accounts[0], "refunded").items()
    assert (case_id, status, paid, refunded) == ("stripe:pi_refunded_1", "matched", "10", "4")


def test_a_report_of_one_balance_says_nothing_about_another(accounts: tuple[AllCases, AllCases]) -> None:
    assert {case_id: row[:2] for case_id, row in of_account(accounts[0], "balance").items()} == {
        "stripe:pi_balance_1": ("matched", None),
        "stripe:pi_balance_7": ("break", "processor_only"),
    }


def test_test_payments_do_not_count_beside_live_ones(accounts: tuple[AllCases, AllCases]) -> None:
    assert {case_id: row[:2] for case_id, row in of_account(accounts[0], "trial").items()} == {
        "stripe:pi_trial_1": ("matched", None)
    }


@pytest.mark.parametrize("account", SEPARATORS)
def test_decimal_commas_are_those_of_the_whole_file(
    accounts: tuple[AllCases, AllCases], account: str
) -> None:
    found = of_account(accounts[0], account)
    assert {case_id: (row[3], row[7], row[8], row[9]) for case_id, row in found.items()} == {
        f"stripe:pi_{account}_1": ("1061.5", "1061.5", "0.59", "1060.91"),
        f"stripe:pi_{account}_7": ("500", "70", "2.33", "67.67"),
    }


def test_a_payment_without_converted_columns_has_no_settled_amounts(
    accounts: tuple[AllCases, AllCases],
) -> None:
    assert of_account(accounts[0], "plain") == {
        "stripe:pi_plain_1": (
            *("break", "processor_only", "usd", "10", "0", "0"),
            *(None, None, None, None, None),
        )
    }
