"""A small account for trying out: card payments in dollars and euros, a refund and a payout, on the days
before today.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.support.stripe_server.books import Books, Row

DAYS = 10


def sample_books(now: datetime | None = None) -> Books:
    """Two payments a day for ten days, the last one yesterday; the money of the first five days in dollars is
    paid out.
    """
    midnight = (now or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0)
    books = Books(opening_balances={"usd": "100.00"})
    for number in range(DAYS * 2):
        at = midnight - timedelta(days=DAYS - number // 2) + timedelta(hours=9, minutes=number)
        books.activity.append(_payment(number, at))
        books.sessions.append(
            {
                "id": f"cs_test_{number:04d}",
                "payment_intent": f"pi_{number:04d}",
                "client_reference_id": f"user_{number % 3}",
                "created": int(at.timestamp()) - 60,
            }
        )
    refunded = {
        "balance_transaction_id": "txn_refund",
        "reporting_category": "refund",
        "source_id": "re_0002",
    }
    money = {"gross": "-10.00", "fee": "0.00", "net": "-10.00", "customer_facing_amount": "-10.00"}
    books.activity.append(
        books.activity[2] | refunded | money | {"created_utc": _text(midnight - timedelta(days=3))}
    )
    _pay_out(books, midnight - timedelta(days=2))
    return books


def _payment(number: int, at: datetime) -> Row:
    gross, fee = Decimal("10.00") + number, Decimal("0.59")
    currency = "eur" if number % 5 == 4 else "usd"
    return {
        "balance_transaction_id": f"txn_{number:04d}",
        "created_utc": _text(at),
        "available_on_utc": _text(at + timedelta(days=2)),
        "currency": currency,
        "gross": str(gross),
        "fee": str(fee),
        "net": str(gross - fee),
        "reporting_category": "charge",
        "source_id": f"ch_{number:04d}",
        "charge_id": f"ch_{number:04d}",
        "payment_intent_id": f"pi_{number:04d}",
        "customer_facing_amount": str(gross),
        "customer_facing_currency": currency,
        "payment_method_type": "card",
        "payment_metadata[user]": f"user_{number % 3}",
    }


def _pay_out(books: Books, at: datetime) -> None:
    link = {"automatic_payout_id": "po_0001", "automatic_payout_effective_at_utc": _text(at)}
    items = [row for row in books.activity[:DAYS] if row["currency"] == "usd"]
    for row in items:
        row.update(link)
    paid = -sum((Decimal(row["net"]) for row in items), Decimal(0))
    payout = {
        "currency": "usd",
        "gross": str(paid),
        "fee": "0.00",
        "net": str(paid),
        "reporting_category": "payout",
    }
    books.payouts.append(
        payout
        | {
            "payout_id": "po_0001",
            "payout_status": "paid",
            "payout_type": "bank_account",
            "payout_expected_arrival_date": _text(at),
            "effective_at_utc": _text(at),
            "balance_transaction_id": "txn_payout",
        }
    )
    books.payout_reconciliation.extend(items)


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"
