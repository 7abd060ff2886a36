"""A small Stripe account for the server on loopback: its key, its payments, the span of its reports."""

from tests.support.stripe_server import Books

KEY = "rk_test_topsecret"

FROM, UNTIL = "2026-08-20", "2026-11-20"


def payment(
    number: int, created: str, gross: str = "10.00", fee: str = "0.59", net: str = "9.41", **more: str
) -> dict[str, str]:
    row = {
        "balance_transaction_id": f"txn_{number}",
        "created_utc": created,
        "available_on_utc": created,
        "currency": "usd",
        "gross": gross,
        "fee": fee,
        "net": net,
        "reporting_category": "charge",
        "source_id": f"ch_{number}",
        "charge_id": f"ch_{number}",
        "payment_intent_id": f"pi_{number}",
        "customer_facing_amount": gross,
        "customer_facing_currency": "usd",
    }
    return row | more


def books() -> Books:
    """Three payments, one of them paid out, one refunded under its charge alone."""
    refund = payment(
        4,
        "2026-11-10 08:00:00",
        "-4.00",
        "0.00",
        "-4.00",
        reporting_category="refund",
        source_id="re_1",
        charge_id="ch_2",
    )
    del refund["payment_intent_id"]
    paid_out = {"automatic_payout_id": "po_1", "automatic_payout_effective_at_utc": "2026-09-05 00:00:00"}
    first = payment(1, "2026-09-01 10:00:00") | paid_out
    payout = {
        "payout_id": "po_1",
        "payout_status": "paid",
        "payout_expected_arrival_date": "2026-09-07",
        "effective_at_utc": "2026-09-05 00:00:00",
        "balance_transaction_id": "txn_po",
        "currency": "usd",
        "gross": "-9.41",
        "fee": "0.00",
        "net": "-9.41",
        "reporting_category": "payout",
    }
    return Books(
        activity=[first, payment(2, "2026-10-02 10:00:00"), payment(3, "2026-11-09 10:00:00"), refund],
        payouts=[payout],
        payout_reconciliation=[first],
        sessions=[
            {"id": f"cs_{n}", "payment_intent": f"pi_{n}", "created": "2026-10-02 09:00:00"}
            for n in range(1, 4)
        ],
        opening_balances={"usd": "100.00"},
    )
