"""Small named builders of what payment processors state: Stripe report rows, checkout sessions, payments of
other rails, and their files.

Amounts are texts in major units and positive; a builder gives them the sign of its category. A row holds the
UTC names of its times; a file may write them under the plain names.
"""

import hashlib
import json
import os
import random
import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.builders import Record, columns_of, csv_text, deposit, event, jsonl, landed, parquet
from tests.support.oracle import LandedFile

ACTIVITY = "balance_change_from_activity.itemized.7"
PAYOUTS = "payouts.itemized.5"
PAYOUT_ITEMS = "payout_reconciliation.itemized.7"
SUMMARY = "balance.summary.1"
SESSIONS = "checkout_sessions"
UNIFIED = "unified_payments"
NO_DECIMALS = frozenset({"jpy", "krw", "vnd"})
AMOUNTS = ("gross", "fee", "net", "customer_facing_amount", "net_amount")
PLAIN_NAMES = {
    "created_utc": "created",
    "available_on_utc": "available_on",
    "effective_at_utc": "effective_at",
    "automatic_payout_effective_at_utc": "automatic_payout_effective_at",
}
# Columns that a report may have and that nobody asked for; the names and e-mails must go nowhere.
EXTRA_COLUMNS = {
    "description": 'Top-up, "50" credits\nfor alice',
    "customer_email": "private@example.com",
    "card_last4": "4242",
    "trace_id": "=1+1",
}


def stripe_time(moment: str | datetime) -> str:
    """`2026-10-05 10:00:00`, whatever form the moment comes in."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def days_later(moment: str, days: int) -> str:
    return stripe_time(datetime.fromisoformat(stripe_time(moment)).replace(tzinfo=UTC) + timedelta(days=days))


def text_of(amount: Decimal) -> str:
    return format(amount + 0, "f")


# ---- rows of the account's activity


def activity_row(
    transaction: str,
    created: str,
    category: str,
    gross: str | Decimal,
    fee: str | Decimal = "0.00",
    *,
    currency: str = "usd",
    paid: str | Decimal | None = None,
    paid_currency: str | None = None,
    intent: str | None = None,
    charge: str | None = None,
    source: str | None = None,
    payout: str | None = None,
    **more: Any,
) -> Record:
    """A signed row; `net` follows unless it is given. `paid` is what the customer paid or got back, in
    `paid_currency`.
    """
    gross, fee = Decimal(gross), Decimal(fee)
    return {
        "balance_transaction_id": transaction,
        "created_utc": stripe_time(created),
        "available_on_utc": days_later(created, 2),
        "currency": currency,
        "gross": text_of(gross),
        "fee": text_of(fee),
        "net": text_of(gross - fee),
        "reporting_category": category,
        "source_id": source,
        "charge_id": charge,
        "payment_intent_id": intent,
        "customer_facing_amount": None if paid is None else text_of(Decimal(paid)),
        "customer_facing_currency": paid_currency or (None if paid is None else currency),
        "automatic_payout_id": payout,
    } | more


def charge_row(
    transaction: str,
    created: str,
    gross: str | Decimal,
    fee: str | Decimal = "0.00",
    *,
    charge: str | None = None,
    **more: Any,
) -> Record:
    """A payment. Where `paid` is not given the customer paid `gross`; `user` goes to the payment's
    metadata.
    """
    if "user" in more:
        more["payment_metadata[user]"] = more.pop("user")
    more = {"paid": gross, "source": charge} | more
    return activity_row(transaction, created, "charge", gross, fee, charge=charge, **more)


def _back(category: str, sign: int, prefix: str) -> Any:
    def build(
        transaction: str, created: str, gross: str | Decimal, fee: str | Decimal = "0.00", **more: Any
    ) -> Record:
        if more.get("paid") is not None:
            more["paid"] = sign * Decimal(more["paid"])
        # what fails is the charge itself; the rest are objects of their own
        more = {"source": f"{prefix}_{transaction}" if prefix else more.get("charge")} | more
        return activity_row(transaction, created, category, sign * Decimal(gross), fee, **more)

    return build


refund_row = _back("refund", -1, "re")
refund_failure_row = _back("refund_failure", 1, "re")
charge_failure_row = _back("charge_failure", -1, "")
dispute_row = _back("dispute", -1, "dp")
dispute_reversal_row = _back("dispute_reversal", 1, "dp")


def fee_row(transaction: str, created: str, amount: str, **more: Any) -> Record:
    """A fee of Stripe's own: no customer, no payment."""
    return activity_row(transaction, created, "fee", -Decimal(amount), **more)


def topup_row(transaction: str, created: str, amount: str, **more: Any) -> Record:
    """The operator's own money for the account's balance: no customer's deposit."""
    return activity_row(transaction, created, "topup", amount, **more)


# ---- exports of the page "Payments" of Stripe's Dashboard


def payment_row(
    payment: str,
    created: str,
    amount: str,
    status: str = "Paid",
    *,
    intent: str | None = None,
    refunded: str = "0.00",
    currency: str = "usd",
    converted: str | None = None,
    converted_currency: str = "usd",
    fee: str = "0.00",
    user: str | None = None,
    **more: Any,
) -> Record:
    """A row with the private columns that nothing reads; `more` are columns by their names."""
    return {
        "id": payment,
        "Created date (UTC)": stripe_time(created),
        "Amount": amount,
        "Amount Refunded": refunded,
        "Currency": currency,
        "Captured": str(status != "Failed").lower(),
        "Converted Amount": amount if converted is None else converted,
        "Converted Amount Refunded": "0.00",
        "Converted Currency": converted_currency,
        "Description": "Top-up of Jenny Rosen",
        "Fee": fee,
        "Refunded date (UTC)": None,
        "Status": status,
        "Taxes On Fee": "0.00",
        "Card Name": "Jenny Rosen",
        "Customer Email": "jenny@example.com",
        "Disputed Amount": None,
        "Dispute Status": None,
        "Dispute Date (UTC)": None,
        "PaymentIntent ID": intent,
        "email (metadata)": "jenny@example.com",
        "user_id (metadata)": user,
    } | more


def disputed(amount: str, status: str, at: str) -> Record:
    """Columns of a payment that was disputed."""
    return {"Disputed Amount": amount, "Dispute Status": status, "Dispute Date (UTC)": stripe_time(at)}


# ---- payouts


def payout_row(
    payout: str,
    effective_at: str,
    amount: str,
    *,
    category: str = "payout",
    status: str = "paid",
    **more: Any,
) -> Record:
    """Money that leaves the balance (negative); of a `payout_reversal` it comes back."""
    signed = Decimal(amount) if category == "payout_reversal" else -Decimal(amount)
    return {
        "payout_id": payout,
        "payout_status": status,
        "payout_expected_arrival_date": f"{days_later(effective_at, 2):.10} 00:00:00",
        "effective_at_utc": stripe_time(effective_at),
        "balance_transaction_id": f"txn_{payout}_{category}",
        "currency": "usd",
        "gross": text_of(signed),
        "fee": "0.00",
        "net": text_of(signed),
        "reporting_category": category,
    } | more


ITEM_COLUMNS = (
    "balance_transaction_id",
    "created_utc",
    "available_on_utc",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
    "charge_id",
    "payment_intent_id",
)


def payout_item(row: Record, payout: str, effective_at: str, **more: Any) -> Record:
    """An activity row as the payout reconciliation shows it."""
    automatic = {
        "automatic_payout_id": payout,
        "automatic_payout_effective_at_utc": stripe_time(effective_at),
    }
    return automatic | {name: row.get(name) for name in ITEM_COLUMNS} | more


def payout_itself(row: Record) -> Record:
    """The payout's own row among its items."""
    return payout_item(
        row | {"created_utc": row["effective_at_utc"]}, row["payout_id"], row["effective_at_utc"]
    )


def summary_rows(
    opening: dict[str, Decimal], activity: Iterable[Record], payouts: Iterable[Record]
) -> list[Record]:
    """The balance summary that these rows add up to, with the categories that only say how."""
    activity, payouts, rows = list(activity), list(payouts), []
    for currency in sorted({*opening, *(row["currency"] for row in [*activity, *payouts])}):
        start = opening.get(currency, Decimal(0))
        moved, paid_out = (
            {
                name: sum((Decimal(row[name]) for row in part if row["currency"] == currency), Decimal(0))
                for name in ("gross", "fee", "net")
            }
            for part in (activity, payouts)
        )
        amounts = {
            "starting_balance": start,
            "activity_gross": moved["gross"],
            "activity_fee": -moved["fee"],
            "activity": moved["net"],
            "payouts_gross": paid_out["gross"],
            "payouts_fee": -paid_out["fee"],
            "payouts": paid_out["net"],
            "ending_balance": start + moved["net"] + paid_out["net"],
        }
        rows += [
            {
                "category": name,
                "description": name.replace("_", " ").title(),
                "net_amount": text_of(amount),
                "currency": currency,
            }
            for name, amount in amounts.items()
        ]
    return rows


# ---- sessions, other rails, the ledger's side


def session_row(session: str, intent: str | None, user: str | None = None, **more: Any) -> Record:
    return {
        "id": session,
        "payment_intent": intent,
        "client_reference_id": user,
        "status": "complete" if intent else "open",
        "payment_status": "paid" if intent else "unpaid",
        "created": "2026-10-01 00:00:00",
        "livemode": "true",
    } | more


def checkout_event(
    event_id: str, created_at: str, session: str, wallet: str, external: str | None = None
) -> Record:
    """The webhook that names the wallet of a checkout; it moves no balance."""
    return event(
        event_id,
        "stripe.checkout.session.completed",
        created_at,
        checkoutSessionId=session,
        amount=42,
        currency="USD",
        walletUserId=wallet,
        externalUserId=external,
    )


def rail_payment(
    rail: str,
    payment: str,
    paid_at: str,
    amount: str,
    status: str = "succeeded",
    currency: str = "usd",
    **more: Any,
) -> Record:
    """`fee`, `refunded_amount` and `metadata` (an object) by keyword."""
    return {
        "rail": rail,
        "payment_id": payment,
        "paid_at": paid_at,
        "amount": amount,
        "currency": currency,
        "status": status,
    } | more


def credit(entry_id: str, timestamp: str, amount: str, **keys: Any) -> Record:
    """A deposit that names its payment: `intent`, `charge`, `session`, `rail`, `payment`; the rest are fields
    of the entry.
    """
    names = {
        "intent": "payment_intent",
        "charge": "charge",
        "session": "checkout_session",
        "rail": "rail",
        "payment": "payment_id",
    }
    metadata = {names[name]: keys.pop(name) for name in list(keys) if name in names}
    metadata |= keys.pop("metadata", {})
    return deposit(entry_id, timestamp, amount, **({"metadata": metadata} if metadata else {}), **keys)


# ---- files


def covering(first: str | date, last: str | date, ending: str = "csv", stem: str = "Report_default") -> str:
    """A name as the Dashboard writes it; both days are covered."""
    return f"{stem}_{first}_to_{last}_UTC.{ending}"


def report_file(
    report: str,
    name: str,
    rows: Sequence[Record],
    *,
    account: str | None = None,
    mode: str | None = None,
    bom: bool = False,
    newline: str = "\n",
    plain_times: bool = False,
    decimals_of_yen: bool = False,
    extra_columns: bool = False,
    columns: Sequence[str] | None = None,
    shuffled: int | None = None,
) -> LandedFile:
    """A file of `stripe/<report>/` in the format that its name says; `shuffled` is a seed for the order of
    its columns.
    """
    folder = "/".join(part for part in ("stripe", report, account, mode) if part)
    written = [
        _written(row, plain_times=plain_times, decimals_of_yen=decimals_of_yen, extra=extra_columns)
        for row in rows
    ]
    order = list(columns or columns_of(written) or HEADERS[report])
    if shuffled is not None:
        random.Random(shuffled).shuffle(order)
    written = [{name: row.get(name) for name in order} for row in written]
    kind = name.removesuffix(".gz").removesuffix(".zst").rsplit(".", 1)[1]
    if kind == "csv":
        content = csv_text(written, order, newline=newline, bom=bom)
    else:
        content = jsonl(written, newline=newline) if kind == "jsonl" else parquet(written)
    return landed(folder, name, content)


def _written(row: Record, *, plain_times: bool, decimals_of_yen: bool, extra: bool) -> Record:
    found = {PLAIN_NAMES.get(name, name) if plain_times else name: value for name, value in row.items()}
    for name in AMOUNTS:
        currency = (
            row.get("customer_facing_currency") if name == "customer_facing_amount" else row.get("currency")
        )
        if currency in NO_DECIMALS and found.get(name) is not None:
            found[name] = f"{Decimal(found[name]):.2f}" if decimals_of_yen else f"{Decimal(found[name]):.0f}"
    return found | (EXTRA_COLUMNS if extra else {})


HEADERS = {
    ACTIVITY: list(charge_row("t", "2026-01-01", "1")),
    PAYOUTS: list(payout_row("p", "2026-01-01", "1")),
    PAYOUT_ITEMS: ["automatic_payout_id", "automatic_payout_effective_at_utc", *ITEM_COLUMNS],
    SUMMARY: ["category", "description", "net_amount", "currency"],
    SESSIONS: list(session_row("cs", "pi")),
    UNIFIED: list(payment_row("ch", "2026-01-01", "1")),
}


def activity_file(name: str, rows: Sequence[Record], **how: Any) -> LandedFile:
    return report_file(ACTIVITY, name, rows, **how)


def payouts_file(name: str, rows: Sequence[Record], **how: Any) -> LandedFile:
    return report_file(PAYOUTS, name, rows, **how)


def payout_items_file(name: str, rows: Sequence[Record], **how: Any) -> LandedFile:
    return report_file(PAYOUT_ITEMS, name, rows, **how)


def summary_file(name: str, rows: Sequence[Record], **how: Any) -> LandedFile:
    return report_file(SUMMARY, name, rows, **how)


def sessions_file(name: str, rows: Sequence[Record], **how: Any) -> LandedFile:
    return report_file(SESSIONS, name, rows, **how)


def unified_file(name: str, rows: Sequence[Record], **how: Any) -> LandedFile:
    return report_file(UNIFIED, name, rows, **how)


def payments_file(name: str, rows: Sequence[Record], **how: Any) -> LandedFile:
    """Payments of other rails, in the format that the name says."""
    kind = name.removesuffix(".gz").removesuffix(".zst").rsplit(".", 1)[1]
    write: Any = {"jsonl": jsonl, "csv": csv_text, "parquet": parquet}[kind]
    return landed("payments", name, write(rows, **how))


def run_sidecar(file: LandedFile, start: datetime, end: datetime, **more: Any) -> LandedFile:
    """The hidden note beside a pulled report: which run made it, and what it covers (`end` exclusive)."""
    note = {
        "id": f"frr_{zlib.crc32(file.path.encode())}",
        "report_type": file.folder.split("/")[1],
        "parameters": {
            "interval_start": int(start.timestamp()),
            "interval_end": int(end.timestamp()),
            "timezone": "Etc/UTC",
        },
        "livemode": "/test" not in file.folder,
        "account": next((part for part in file.folder.split("/") if part.startswith("acct_")), "default"),
        "sha256": hashlib.sha256(file.content).hexdigest(),
        "bytes": len(file.content),
        "downloaded_at": "2026-11-09T06:00:00Z",
    }
    return LandedFile(file.folder, f".{file.name}.run.json", json.dumps(note | more).encode())


def land_in_order(
    home: Path, files: Iterable[LandedFile], start: datetime = datetime(2026, 11, 1, tzinfo=UTC)
) -> datetime:
    """Land the files a second apart, so that their order does not hang on the clock; returns when the next
    one would land.
    """
    for file in files:
        path = home / "landing" / file.folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        os.utime(path, (start.timestamp(), start.timestamp()))
        start += timedelta(seconds=1)
    return start
