"""The payments as files: Stripe's reports under the names of its Dashboard, its Checkout Sessions, and the
export of the bank transfers.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from sample_data.breaks import TRANSFER_FEE
from sample_data.formats import rfc3339, table
from sample_data.payments import SEPA, STRIPE, Payment
from sample_data.statements import DAY, MINUTE, SECOND
from sample_data.stripe_account import (
    CURRENCIES,
    NOTHING,
    OPENING,
    Account,
    Payout,
    Transaction,
    midnight,
    utc_day,
)
from sample_data.world import EPOCH, key

ACTIVITY, PAYOUTS = "balance_change_from_activity.itemized.7", "payouts.itemized.5"
PAYOUT_RECONCILIATION, SUMMARY = "payout_reconciliation.itemized.7", "balance.summary.1"
TITLES = {
    ACTIVITY: "Itemized_balance_change_from_activity",
    PAYOUTS: "Itemized_payouts",
    PAYOUT_RECONCILIATION: "Itemized_payout_reconciliation",
    SUMMARY: "Balance_Summary",
}
OVERLAP = 35
"""Days that the second activity report repeats."""
SECOND_REPORT = 30
"""Days that only the second activity report covers."""

MONEY_COLUMNS = ("currency", "gross", "fee", "net", "reporting_category")
KEY_COLUMNS = ("source_id", "charge_id", "payment_intent_id")
FACING_COLUMNS = ("customer_facing_amount", "customer_facing_currency")
USER_COLUMN = "payment_metadata[user]"
ACTIVITY_COLUMNS = (
    *("balance_transaction_id", "created_utc", "available_on_utc"),
    *MONEY_COLUMNS,
    *KEY_COLUMNS,
    *FACING_COLUMNS,
    "automatic_payout_id",
    USER_COLUMN,
)
OTHER_ACTIVITY_COLUMNS = (
    *("created_utc", "balance_transaction_id", "reporting_category", "description", "customer_email"),
    *("payment_intent_id", "charge_id", "source_id", USER_COLUMN),
    *("customer_facing_currency", "customer_facing_amount", "currency", "net", "fee", "gross"),
    *("automatic_payout_id", "available_on_utc"),
)
PAYOUT_COLUMNS = (
    *(
        "payout_id",
        "payout_status",
        "payout_expected_arrival_date",
        "effective_at_utc",
        "balance_transaction_id",
    ),
    *MONEY_COLUMNS,
    "description",
)
ITEM_COLUMNS = (
    *(
        "automatic_payout_id",
        "automatic_payout_effective_at_utc",
        "balance_transaction_id",
        "created_utc",
        "available_on_utc",
    ),
    *MONEY_COLUMNS,
    *KEY_COLUMNS,
)
SUMMARY_COLUMNS = ("category", "description", "currency", "net_amount")
TRANSFER_COLUMNS = (
    "rail",
    "payment_id",
    "paid_at",
    "amount",
    "currency",
    "status",
    "fee",
    "refunded_amount",
    "metadata",
)


def payment_files(account: Account, payments: list[Payment]) -> tuple[dict[str, bytes], int]:
    """Return all files, and the number of their records."""
    known = sorted(
        (one for one in payments if one.paid_at < account.until), key=lambda one: (one.paid_at, one.number)
    )
    texts = activity_reports(account) | payout_reports(account) | summaries(account)
    rows = sum(text.count("\n") - 1 for text in texts.values())
    sessions = checkout_sessions(account, [one for one in known if one.rail == STRIPE and one.has_session])
    transfers = transfer_export([one for one in known if one.rail == SEPA])
    span = f"{account.first_day}_to_{account.last_day}"
    texts |= {
        f"stripe/checkout_sessions/checkout_sessions_{span}_UTC.jsonl": "".join(
            f"{line}\n" for line in sessions
        ),
        f"payments/sample-{account.first_day}_{account.last_day}-sepa.csv": transfers,
    }
    return {name: text.encode() for name, text in texts.items()}, rows + len(sessions) + transfers.count(
        "\n"
    ) - 1


def report(report_type: str, first: date, last: date) -> str:
    """Return the path of a report of these days, both included."""
    return f"stripe/{report_type}/{TITLES[report_type]}_{first}_to_{last}_UTC.csv"


def stamp(instant: int) -> str:
    """Return an instant as Stripe's reports write it: UTC, whole seconds."""
    return (EPOCH + timedelta(milliseconds=instant)).strftime("%Y-%m-%d %H:%M:%S")


def money(amount: Decimal) -> str:
    """Return an amount with two decimals, as dollar, euro and pound have. Raises if a digit would be lost."""
    written = amount.quantize(NOTHING)
    if written != amount:
        raise ValueError(
            f"{amount} is not an amount that a card network can move: it has fractions of a cent"
        )
    return str(written)


# ---- Stripe


def cells(row: Transaction) -> dict[str, str]:
    """Return a row of the balance with the columns of all reports."""
    return {
        "balance_transaction_id": row.id,
        "created_utc": stamp(row.created),
        "available_on_utc": stamp(row.available),
        "currency": row.currency,
        "gross": money(row.gross),
        "fee": money(row.fee),
        "net": money(row.net),
        "reporting_category": row.category,
        "description": row.description,
        "source_id": row.source,
        "charge_id": row.charge,
        "payment_intent_id": row.intent,
        "customer_facing_amount": "" if row.facing_amount is None else money(row.facing_amount),
        "customer_facing_currency": row.facing_currency,
        "customer_email": email(row.user) if row.user else "",
        "automatic_payout_id": row.payout.id if row.payout else "",
        USER_COLUMN: row.user,
    }


def email(user: str) -> str:
    """Return an address that does not exist."""
    return f"{key('email', user, size=4)}@example.com"


def activity_reports(account: Account) -> dict[str, str]:
    """Return two downloads that overlap. The second has another style, and corrects the time at which
    one charge became available.
    """
    first_ends, second_starts = (
        account.until - SECOND_REPORT * DAY,
        account.until - (SECOND_REPORT + OVERLAP) * DAY,
    )
    first = [row for row in account.activity if row.created < first_ends]
    second = [row for row in account.activity if row.created >= second_starts]
    charges = [
        place for place, row in enumerate(first) if row.created >= second_starts and row.category == "charge"
    ]
    for place in charges[len(charges) // 2 :][:1]:
        first[place] = replace(first[place], available=first[place].available + DAY)
    return {
        report(ACTIVITY, account.first_day, utc_day(first_ends - DAY)): table(
            ACTIVITY_COLUMNS, map(cells, first)
        ),
        report(ACTIVITY, utc_day(second_starts), account.last_day): (
            "\ufeff" + table(OTHER_ACTIVITY_COLUMNS, map(cells, second), "\r\n")
        ),
    }


def payout_reports(account: Account) -> dict[str, str]:
    """Return the reports of payouts and of their items."""
    span = (account.first_day, account.last_day)
    payouts = (
        payout_cells(payout) | cells(row) | {"effective_at_utc": stamp(row.created)}
        for payout, row in account.payouts
    )
    items = (
        cells(row) | {"automatic_payout_effective_at_utc": stamp(payout.at)} for payout, row in account.items
    )
    return {
        report(PAYOUTS, *span): table(PAYOUT_COLUMNS, payouts),
        report(PAYOUT_RECONCILIATION, *span): table(ITEM_COLUMNS, items),
    }


def payout_cells(payout: Payout) -> dict[str, str]:
    """Return the columns of a payout, in its final state."""
    return {
        "payout_id": payout.id,
        "payout_status": payout.status,
        "payout_expected_arrival_date": stamp(payout.arrives),
    }


def summaries(account: Account) -> dict[str, str]:
    """Return one balance summary per calendar month; the first and the last are cut to the data."""
    files: dict[str, str] = {}
    balances = dict(OPENING)
    for first, last in months(account.first_day, account.last_day):
        since, until = midnight(first), midnight(last) + DAY
        rows: list[dict[str, str]] = []
        for currency in CURRENCIES:
            activity = total(account.activity, currency, since, until)
            paid_out = total((row for _, row in account.payouts), currency, since, until)
            opening, balances[currency] = balances[currency], balances[currency] + activity + paid_out
            rows += [
                summary_row("starting_balance", f"Starting balance ({first})", currency, opening),
                summary_row("activity", "Balance change from activity", currency, activity),
                summary_row("payouts", "Total payouts", currency, paid_out),
                summary_row("ending_balance", f"Ending balance ({last})", currency, balances[currency]),
            ]
        files[report(SUMMARY, first, last)] = table(SUMMARY_COLUMNS, rows)
    return files


def months(first: date, last: date) -> list[tuple[date, date]]:
    """Return the first and last day of each calendar month between two days, cut to them."""
    spans: list[tuple[date, date]] = []
    while first <= last:
        next_month = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
        spans.append((first, min(next_month - timedelta(days=1), last)))
        first = next_month
    return spans


def total(rows: Iterable[Transaction], currency: str, since: int, until: int) -> Decimal:
    """Return the change of one balance by the rows created in `[since, until)`."""
    return sum(
        (row.net for row in rows if row.currency == currency and since <= row.created < until), NOTHING
    )


def summary_row(category: str, description: str, currency: str, amount: Decimal) -> dict[str, str]:
    """Return one line of a balance summary."""
    return {
        "category": category,
        "description": description,
        "currency": currency,
        "net_amount": money(amount),
    }


def checkout_sessions(account: Account, payments: list[Payment]) -> list[str]:
    """Return Stripe's list of Checkout Sessions, newest first. The customer of the oldest one left
    without paying.
    """
    sessions = [
        session(
            f"cs_test_{one.number}",
            one,
            one.paid_at - MINUTE,
            payment_intent=f"pi_{one.number}",
            status="complete",
            payment_status="paid",
        )
        for one in payments
    ]
    for one in payments[:1]:
        asked = account.since + 9 * MINUTE
        number = key("abandoned", one.number)
        sessions.insert(
            0,
            session(
                f"cs_test_{number}",
                one,
                asked,
                payment_intent=None,
                status="expired",
                payment_status="unpaid",
            ),
        )
    return [json.dumps(one, ensure_ascii=False) for one in reversed(sessions)]


def session(session_id: str, payment: Payment, created: int, **state: str | None) -> dict[str, object]:
    """Return a Checkout Session as the API does: Unix seconds, and the amount in minor units."""
    return {
        "id": session_id,
        "object": "checkout.session",
        "amount_total": int(payment.amount.scaleb(2)),
        "client_reference_id": payment.user,
        "created": created // SECOND,
        "currency": payment.currency,
        "customer_details": {"email": email(payment.user)},
        # The ids are test ids, but the sample's reports land as live ones, so that both count.
        "livemode": True,
        **state,
    }


# ---- the other rail


def transfer_export(payments: list[Payment]) -> str:
    """Return the bank transfers, one row per payment, in their final state."""
    return table(TRANSFER_COLUMNS, map(transfer_cells, payments))


def transfer_cells(payment: Payment) -> dict[str, str]:
    """Return a payment in the form of docs/contract.md#25-other-payment-rails."""
    refunded = -sum((back.signed for back in payment.returns), NOTHING)
    return {
        "rail": payment.rail,
        "payment_id": f"{payment.rail}_{payment.number}",
        "paid_at": rfc3339(payment.paid_at),
        "amount": money(payment.amount),
        "currency": payment.currency,
        "status": "failed" if payment.failed else "refunded" if refunded else "succeeded",
        "fee": money(NOTHING if payment.failed else TRANSFER_FEE),
        "refunded_amount": money(refunded),
        "metadata": json.dumps({"user": payment.user}, ensure_ascii=False),
    }
