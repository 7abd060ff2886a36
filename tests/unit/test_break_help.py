"""What the dashboard advises about a case follows the evidence of the case."""

from decimal import Decimal
from typing import Any

import pytest

from dashboard.break_help import ADVICE, BREAKS, NOTHING_TO_DO, UNKNOWN, WORDS, advice, words_for
from dashboard.snapshot import Row

NONE = dict.fromkeys(
    (
        "user_id",
        "payment_intent_id",
        "charge_id",
        "checkout_session_id",
        "payment_id",
        "match_method",
        "ledger_currency",
        "ledger_amount",
        "net_credit",
        "paid_currency",
        "paid_amount",
        "net_payment",
        "settlement_currency",
        "settled_gross",
    )
)


def case(break_type: str | None, **columns: Any) -> Row:
    """A break on Stripe without any evidence but `columns`; amounts are texts."""
    amounts = {
        name: Decimal(value)
        for name, value in columns.items()
        if isinstance(value, str) and name.endswith(("amount", "gross", "net_credit", "net_payment"))
    }
    nothing_back = {
        "refunded_amount": Decimal(0),
        "disputed_amount": Decimal(0),
        "clawed_back_amount": Decimal(0),
        "has_unknown_return": False,
    }
    fixed = {"status": "break", "break_type": break_type, "rail": "stripe", "deposit_entry_ids": []}
    return NONE | nothing_back | fixed | columns | amounts


def paid(break_type: str | None, amount: str = "10", **columns: Any) -> Row:
    """A payment of alice in dollars of which nothing was returned, unless `columns` say so."""
    known = {
        "user_id": "alice",
        "payment_intent_id": "pi_1",
        "paid_currency": "usd",
        "paid_amount": amount,
        "net_payment": amount,
    }
    return case(break_type, **known | columns)


def both(break_type: str | None, credited: str = "10", amount: str = "10", **columns: Any) -> Row:
    """A payment with a deposit in dollars."""
    known = {
        "ledger_currency": "usd",
        "ledger_amount": credited,
        "net_credit": credited,
        "match_method": "payment_intent",
        "deposit_entry_ids": ["d1"],
    }
    return paid(break_type, amount, **known | columns)


def credited(break_type: str = "ledger_only", amount: str = "10", **columns: Any) -> Row:
    """A deposit without a payment."""
    known = {
        "user_id": "alice",
        "ledger_currency": "usd",
        "ledger_amount": amount,
        "net_credit": amount,
        "deposit_entry_ids": ["d1"],
    }
    return case(break_type, **known | columns)


SUGGESTED = {"match_method": "suggested", "deposit_entry_ids": ["d7"]}
SOME_BACK = {"refunded_amount": "4", "net_payment": "6"}
DISPUTED = {"disputed_amount": "10", "net_payment": "0"}
UNKNOWN_RETURN = {"has_unknown_return": True, "refunded_amount": None, "net_payment": None}

# The case, what the advice must contain, what it must not contain.
TABLE: list[tuple[str, Row, list[str], list[str]]] = [
    (
        "paid, nothing credited",
        paid("processor_only"),
        ["Credit 10.00 USD to the user", "metadata.payment_intent = pi_1", "or refund the payment"],
        ["suggested"],
    ),
    (
        "paid, a suggested deposit",
        both("processor_only", **SUGGESTED),
        [
            "the user probably has the credit already",
            "Do not credit again",
            "d7",
            "land a later version of it with metadata.payment_intent = pi_1",
        ],
        ["Credit 10.00 USD to the user"],
    ),
    (
        "paid on another rail, two suggested deposits",
        both(
            "processor_only",
            rail="paypal",
            payment_intent_id=None,
            payment_id="P-1",
            match_method="suggested",
            deposit_entry_ids=["d7", "d8"],
        ),
        ["there are 2 deposits", "d7, d8", "metadata.rail = paypal and metadata.payment_id = P-1"],
        [],
    ),
    (
        "a suggested deposit, and the payment was refunded in part",
        both("processor_only", **SUGGESTED, **SOME_BACK),
        ["Do not credit again", "4.00 USD was refunded", "Then take back the credit"],
        ["Credit no more than"],
    ),
    (
        "paid and refunded in part",
        paid("processor_only", **SOME_BACK),
        ["4.00 USD was refunded", "Credit no more than the 6.00 USD"],
        ["Credit 10.00 USD"],
    ),
    (
        "paid and disputed in part",
        paid("processor_only", disputed_amount="4", net_payment="6"),
        ["4.00 USD was disputed", "Do not credit the disputed amount", "6.00 USD remains"],
        ["Credit 10.00 USD"],
    ),
    (
        "paid, and an unknown amount was returned",
        paid("processor_only", **UNKNOWN_RETURN),
        ["how much was returned before you credit"],
        ["Credit 10.00 USD"],
    ),
    (
        "paid by nobody who is known",
        paid("processor_only", user_id=None),
        ["names no user", "Look up at the processor who paid"],
        [],
    ),
    (
        "paid, but the amount is known only as settled",
        paid(
            "processor_only",
            paid_amount=None,
            net_payment=None,
            settled_gross="9.5",
            settlement_currency="eur",
        ),
        ["known only as settled: 9.50 EUR", "how much the customer paid"],
        ["10.00"],
    ),
    (
        "credited, names a payment that is not there",
        credited(payment_intent_id="pi_9"),
        ["names the payment intent pi_9", "mistyped", "reverse the entry of 10.00 USD", "funding = promo"],
        [],
    ),
    (
        "credited, names nothing",
        credited(rail="unknown"),
        ["names no payment", "probably among the cases of the same user"],
        ["mistyped"],
    ),
    (
        "credited, and taken back in part",
        credited(clawed_back_amount="4", net_credit="6"),
        ["4.00 USD of the credit was taken back already", "take back the remaining 6.00 USD"],
        ["reverse the entry"],
    ),
    (
        "credited twice",
        both("duplicate_deposit", "20", deposit_entry_ids=["d1", "d2"]),
        ["2 deposits", "take back 10.00 USD"],
        [],
    ),
    (
        "credited twice, and taken back in part",
        both(
            "duplicate_deposit",
            "20",
            deposit_entry_ids=["d1", "d2"],
            clawed_back_amount="9.99",
            net_credit="10.01",
        ),
        ["9.99 USD was taken back already", "take back 0.01 USD"],
        [],
    ),
    (
        "credited twice, in another currency",
        both("duplicate_deposit", "21", ledger_currency="eur", deposit_entry_ids=["d1", "d2"]),
        ["Compare the deposits"],
        ["take back 11.00"],
    ),
    (
        "credited twice, once in the currency of the payment",
        both("duplicate_deposit", deposit_entry_ids=["d1", "d2"]),
        ["Reverse the deposit in the other currency"],
        ["0.00"],
    ),
    (
        "credited in another currency",
        both("currency_mismatch", "9", ledger_currency="eur"),
        ["paid 10.00 USD and was credited 9.00 EUR", "Correct the deposit's currency"],
        ["returned"],
    ),
    (
        "credited in another currency, and refunded",
        both("currency_mismatch", "9", ledger_currency="eur", refunded_amount="10", net_payment="0"),
        ["10.00 USD was refunded", "All of the payment was returned: take back the credit"],
        ["Correct the deposit"],
    ),
    (
        "credited in two currencies",
        both("currency_mismatch", "4", deposit_entry_ids=["d1", "d2"]),
        ["One of the deposits is in another currency"],
        [],
    ),
    (
        "credited too little",
        both("amount_mismatch", "9.25"),
        ["paid 10.00 USD and was credited 9.25 USD", "Credit the missing 0.75 USD"],
        ["Take back"],
    ),
    (
        "credited too little, and refunded in part",
        both("amount_mismatch", "5", refunded_amount="4", net_payment="6"),
        ["4.00 USD was refunded", "Credit the missing 1.00 USD"],
        [],
    ),
    (
        "credited nothing by a deposit of 0",
        both("amount_mismatch", "0"),
        ["was credited 0.00 USD", "Credit the missing 10.00 USD"],
        [],
    ),
    (
        "credited too much, to the last digit",
        both("amount_mismatch", "10.000000000001"),
        ["Take back the surplus of 0.000000000001 USD"],
        ["Credit the missing"],
    ),
    (
        "credited, and the amount paid is known only as settled",
        both(
            "amount_mismatch",
            paid_amount=None,
            net_payment=None,
            settled_gross="9.5",
            settlement_currency="eur",
        ),
        ["known only as settled: 9.50 EUR", "how much the customer paid"],
        ["Credit the missing", "Take back"],
    ),
    (
        "credited another amount, and an unknown amount was returned",
        both("amount_mismatch", "9", **UNKNOWN_RETURN),
        ["how much was returned"],
        ["missing 1.00"],
    ),
    (
        "disputed",
        both("dispute_not_clawed_back", **DISPUTED),
        ["10.00 USD was disputed", "Take back 10.00 USD", "won closes the break"],
        [],
    ),
    (
        "disputed, and taken back in part",
        both("dispute_not_clawed_back", **DISPUTED, clawed_back_amount="4", net_credit="6"),
        ["Take back 6.00 USD"],
        [],
    ),
    (
        "refunded",
        both("refund_not_clawed_back", **SOME_BACK),
        ["4.00 USD was refunded", "Take back 4.00 USD"],
        ["dispute"],
    ),
    (
        "refunded by an unknown amount",
        both("refund_not_clawed_back", **UNKNOWN_RETURN),
        ["known only in the settlement currency", "Look up at the processor how much was returned"],
        ["Take back 10"],
    ),
    (
        "too much taken back",
        both("over_clawed_back", clawed_back_amount="3", net_credit="7"),
        ["3.00 USD was taken back of a credit of 10.00 USD", "Return 3.00 USD"],
        [],
    ),
    (
        "too much taken back of a credit without a payment",
        credited("over_clawed_back", clawed_back_amount="12", net_credit="-2"),
        ["the processor has no payment", "Return 2.00 USD"],
        [],
    ),
    (
        "a payment waits",
        paid(None, status="pending"),
        ["the credit can still follow"],
        ["Credit 10"],
    ),
    (
        "a payment waits, and a deposit is suggested",
        both(None, status="pending", **SUGGESTED),
        ["probably that credit", "Do not credit again", "d7"],
        ["can still follow"],
    ),
    (
        "a credit waits for data",
        credited(None, status="pending"),
        ["do not reach far enough"],
        ["reverse"],
    ),
]


@pytest.mark.parametrize(
    ("row", "contained", "absent"), [one[1:] for one in TABLE], ids=[name for name, *_ in TABLE]
)
def test_advice_follows_the_evidence(row: Row, contained: list[str], absent: list[str]) -> None:
    known = advice(row)
    text = f"{known.meaning} {known.remedy}"
    assert [part for part in contained if part not in text] == [], text
    assert [part for part in absent if part in text] == [], text


def test_every_type_has_words_and_advice() -> None:
    assert list(WORDS) == list(BREAKS) == list(ADVICE)
    assert len(set(WORDS.values())) == len(WORDS)
    assert {row["break_type"] for _, row, *_ in TABLE if row["status"] == "break"} == set(BREAKS)


def test_a_matched_case_and_a_break_of_a_later_version_have_texts() -> None:
    assert advice(case(None, status="matched")) == NOTHING_TO_DO
    assert advice(case("of_tomorrow")) == UNKNOWN
    assert (words_for("of_tomorrow"), words_for(None)) == ("of_tomorrow", "–")


@pytest.mark.parametrize("break_type", BREAKS)
def test_no_missing_value_raises(break_type: str) -> None:
    """A row may lack everything that a column may lack."""
    missing = {
        "refunded_amount": None,
        "disputed_amount": None,
        "clawed_back_amount": None,
        "deposit_entry_ids": None,
    }
    known = advice(case(break_type, **missing))
    assert known.meaning
    assert known.remedy
    assert "None" not in f"{known.meaning} {known.remedy}"
