"""The words, the meaning and the remedy of each type of break. docs/reconciliation.md has the rules.

`help_for` describes a type. `advice` describes one case: what to do depends on the evidence of the case.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from dashboard import formats
from dashboard.snapshot import Row


@dataclass(frozen=True)
class BreakHelp:
    """The meaning and the remedy of a type of break, or of one case."""

    meaning: str
    remedy: str


WORDS = {
    "processor_only": "Paid, not credited",
    "ledger_only": "Credited, not paid",
    "duplicate_deposit": "Credited more than once",
    "currency_mismatch": "Credited in another currency",
    "amount_mismatch": "Credited another amount",
    "dispute_not_clawed_back": "Disputed, credit kept",
    "over_clawed_back": "Too much credit taken back",
    "refund_not_clawed_back": "Refunded, credit kept",
}
"""What people read in place of the code of a type of break, in the order of the priorities."""

BREAKS = {
    "processor_only": BreakHelp(
        "A customer paid and received no credit.",
        "Credit the user with a deposit that names the payment, or refund the payment. If a suggested deposit"
        " is the right one, do not credit again: land a later version of it with the payment's id.",
    ),
    "ledger_only": BreakHelp(
        "A user was credited, but the processor has no such payment.",
        "Find out who made the entry. If no money was paid, reverse the entry. If it was a gift, set"
        " metadata.funding = promo.",
    ),
    "duplicate_deposit": BreakHelp(
        "One payment has several deposits, and together they exceed what was paid.",
        "Reverse the surplus deposit, or take it back with a refund or a negative adjustment that has the"
        " deposit as related_id.",
    ),
    "currency_mismatch": BreakHelp(
        "The customer paid in one currency and was credited in another.",
        "Correct the deposit's currency and amount, and check how the checkout converts currencies.",
    ),
    "amount_mismatch": BreakHelp(
        "The credited amount differs from what the customer paid.",
        "If it is too little, credit the rest with a second deposit that names the payment. If it is too"
        " much, take the surplus back with an entry that has the deposit as related_id.",
    ),
    "dispute_not_clawed_back": BreakHelp(
        "A dispute is open or lost, and the user still has the credit.",
        "Take the credit back now, or when the dispute is lost. A dispute that is won closes the break by"
        " itself.",
    ),
    "over_clawed_back": BreakHelp(
        "More credit was taken back than money was returned to the customer.",
        "Return the difference with a positive adjustment that has the deposit as related_id, "
        "or land a later version of the entry that took too much.",
    ),
    "refund_not_clawed_back": BreakHelp(
        "Money was returned to the customer, and the user still has some or all of the credit.",
        "Enter a refund of the deposit, a withdrawal or a negative adjustment with the deposit as"
        " related_id.",
    ),
}
UNKNOWN = BreakHelp("This dashboard does not know this type of break.", "See docs/reconciliation.md.")
# The words for a payment whose credit is probably there, but does not name it.
NOT_LINKED = "Paid, credit not linked"
NOTHING_TO_DO = BreakHelp("Both sides agree, or nothing is owed.", "Nothing.")
TAKE_BACK = "a refund of the deposit, a withdrawal or a negative adjustment with the deposit as related_id"


def words_for(break_type: str | None) -> str:
    """Return the words for a type of break, its code if it is one of a later version."""
    return formats.NOTHING if break_type is None else WORDS.get(break_type, break_type)


def words_of(row: Row) -> str:
    """Return the words for the break of a case, by its evidence."""
    is_credited = row["break_type"] == "processor_only" and has_suggestion(row)
    return NOT_LINKED if is_credited else words_for(row["break_type"])


def help_for(break_type: str) -> BreakHelp:
    """Return the texts for a type of break, also for one of a later version."""
    return BREAKS.get(break_type, UNKNOWN)


def has_suggestion(row: Row) -> bool:
    """Return whether the deposits of the case are only suggested: neither side names the other."""
    return row["match_method"] == "suggested" and bool(row["deposit_entry_ids"])


def advice(row: Row) -> BreakHelp:
    """Return what a row of `fct_reconciliation` means, and what to do about it. The texts are not escaped."""
    if row["status"] == "pending":
        return _pending(row)
    if row["status"] == "matched":
        return NOTHING_TO_DO
    known = ADVICE.get(row["break_type"])
    return UNKNOWN if known is None else known(row)


def _pending(row: Row) -> BreakHelp:
    if has_suggestion(row):
        return BreakHelp(
            "A payment waits for its credit, and a suggested deposit is probably that credit.", _tie(row)
        )
    if row["paid_currency"] is not None or row["paid_amount"] is not None:
        return BreakHelp(
            "A customer paid, and the credit can still follow.",
            "Nothing yet. If the credit does not follow within the grace period, this becomes a break.",
        )
    return BreakHelp(
        "A user was credited, and the data that could have the payment do not reach far enough yet.",
        "Nothing yet. Load the missing data of the payment processor; the sources are on the page"
        " Reconciliation.",
    )


def _processor_only(row: Row) -> BreakHelp:
    meaning = [BREAKS["processor_only"].meaning, *_returned(row)]
    remains, paid = _money(row, "net_payment"), row["paid_amount"]
    if has_suggestion(row):
        listed = row["deposit_entry_ids"]
        meaning[0] = (
            f"A customer paid, and {_deposits(len(listed))} of the same user, amount and currency within an"
            " hour: the user probably has the credit already. Neither side names the other."
        )
        remedy = [_tie(row)]
        if _has_return(row):
            remedy.append("Then take back the credit for the money that was returned.")
        remedy.append(
            "Only if the suggestion is wrong, credit the user with a deposit that names the payment, or"
            " refund the payment."
        )
        return BreakHelp(" ".join(meaning), " ".join(remedy))
    remedy = []
    if row["user_id"] is None:
        meaning.append("The payment names no user.")
        remedy.append("Look up at the processor who paid.")
    if paid is None:
        meaning.append(f"The amount paid is known only as settled: {_settled(row)}.")
        remedy.append("Look up at the processor how much the customer paid.")
    if row["has_unknown_return"]:
        remedy.append("Look up at the processor how much was returned before you credit anything.")
    elif _positive(row["disputed_amount"]):
        remedy.append(
            f"Do not credit the disputed amount: wait for the end of the dispute. {remains} remains without"
            " it."
        )
    elif _positive(row["refunded_amount"]):
        remedy.append(
            f"Credit no more than the {remains} that remains, with a deposit that names the payment, or"
            " refund the rest."
        )
    else:
        amount = "the user" if paid is None else f"{_money(row, 'paid_amount')} to the user"
        remedy.append(
            f"Credit {amount} with a deposit that names the payment{_named(row)}, or refund the payment."
        )
    return BreakHelp(" ".join(meaning), " ".join(remedy))


def _ledger_only(row: Row) -> BreakHelp:
    meaning, remedy = [BREAKS["ledger_only"].meaning], ["Find out who made the entry."]
    if keys := _keys(row):
        meaning.append(f"The deposit names {keys}, which is not among the payments.")
        remedy.append(
            "A failed payment, a test payment or a mistyped id? If the id is mistyped, land a later version"
            " of the deposit with the right one."
        )
    else:
        meaning.append("The deposit names no payment.")
        remedy.append(
            "If there is a payment, it is probably among the cases of the same user: land a later version of"
            " the deposit with the payment's id."
        )
    if _positive(row["clawed_back_amount"]):
        meaning.append(f"{_money(row, 'clawed_back_amount')} of the credit was taken back already.")
        remedy.append(f"If no money was paid, take back the remaining {_money(row, 'net_credit')} as well.")
    else:
        remedy.append(f"If no money was paid, reverse the entry of {_money(row, 'ledger_amount')}.")
    remedy.append("If it was a gift, land a later version with metadata.funding = promo.")
    return BreakHelp(" ".join(meaning), " ".join(remedy))


def _duplicate_deposit(row: Row) -> BreakHelp:
    count = len(row["deposit_entry_ids"] or [])
    meaning = [f"One payment has {count} deposits, and together they exceed what was paid.", *_returned(row)]
    if _positive(row["clawed_back_amount"]):
        meaning.append(f"{_money(row, 'clawed_back_amount')} was taken back already, which is not enough.")
    surplus = _surplus(row)
    if surplus is None:
        remedy = "Compare the deposits below with the payment. Reverse what is too much, or take it back with"
    elif surplus > 0:
        amount = formats.with_currency(surplus, row["ledger_currency"])
        remedy = f"Reverse the surplus deposit, or take back {amount} with"
    else:  # a further credit is in another currency
        remedy = "Reverse the deposit in the other currency, or take it back with"
    return BreakHelp(" ".join(meaning), f"{remedy} {TAKE_BACK}.")


def _currency_mismatch(row: Row) -> BreakHelp:
    credited, paid = _money(row, "ledger_amount"), _money(row, "paid_amount")
    if row["ledger_currency"] == row["paid_currency"]:
        meaning = f"The customer paid {paid}. One of the deposits is in another currency."
        remedy = "Correct that deposit, or take it back."
    else:
        meaning = f"The customer paid {paid} and was credited {credited}."
        remedy = "Correct the deposit's currency and amount with a later version."
    if row["net_payment"] is not None and row["net_payment"] <= 0:
        remedy = f"All of the payment was returned: take back the credit with {TAKE_BACK}."
    elif row["has_unknown_return"]:
        remedy = f"Look up at the processor how much was returned. {remedy}"
    elif _has_return(row):
        remedy = f"{remedy} Of the payment, {_money(row, 'net_payment')} remains."
    return BreakHelp(
        " ".join([meaning, *_returned(row)]), f"{remedy} Check how the checkout converts currencies."
    )


def _amount_mismatch(row: Row) -> BreakHelp:
    meaning = [
        f"The customer paid {_money(row, 'paid_amount')} and was credited {_money(row, 'ledger_amount')}.",
        *_returned(row),
    ]
    if _positive(row["clawed_back_amount"]):
        meaning.append(f"{_money(row, 'clawed_back_amount')} of the credit was taken back.")
    surplus = _surplus(row)
    if row["paid_amount"] is None:
        meaning[0] = (
            f"The user was credited {_money(row, 'ledger_amount')}. The amount paid is known only as settled:"
            f" {_settled(row)}."
        )
        remedy = "Look up at the processor how much the customer paid, and compare it with the credit."
    elif surplus is None:
        remedy = (
            "Look up at the processor how much was returned. Then credit what is missing, or take back what"
            " is too much."
        )
    elif surplus < 0:
        amount = formats.with_currency(-surplus, row["ledger_currency"])
        remedy = f"Credit the missing {amount} with a second deposit that names the payment{_named(row)}."
    else:
        amount = formats.with_currency(surplus, row["ledger_currency"])
        remedy = f"Take back the surplus of {amount} with {TAKE_BACK}."
    return BreakHelp(" ".join(meaning), remedy)


def _dispute_not_clawed_back(row: Row) -> BreakHelp:
    return BreakHelp(
        " ".join([BREAKS["dispute_not_clawed_back"].meaning, *_returned(row)]),
        f"{_take_back(row)} Do so now, or when the dispute is lost. A dispute that is won closes the break by"
        " itself.",
    )


def _refund_not_clawed_back(row: Row) -> BreakHelp:
    return BreakHelp(" ".join([BREAKS["refund_not_clawed_back"].meaning, *_returned(row)]), _take_back(row))


def _over_clawed_back(row: Row) -> BreakHelp:
    taken = (
        f"{_money(row, 'clawed_back_amount')} was taken back of a credit of {_money(row, 'ledger_amount')}."
    )
    surplus = row["net_credit"] if row["paid_currency"] is None else _surplus(row)
    amount = (
        "the difference"
        if surplus is None or surplus >= 0
        else formats.with_currency(-surplus, row["ledger_currency"])
    )
    meaning = (
        "More credit was taken back than was given, and the processor has no payment."
        if row["paid_currency"] is None
        else BREAKS["over_clawed_back"].meaning
    )
    return BreakHelp(
        " ".join([meaning, taken, *_returned(row)]),
        f"Return {amount} with a positive adjustment that has the deposit as related_id, or land a later"
        " version of the entry that took too much.",
    )


ADVICE: dict[str, Callable[[Row], BreakHelp]] = {
    "processor_only": _processor_only,
    "ledger_only": _ledger_only,
    "duplicate_deposit": _duplicate_deposit,
    "currency_mismatch": _currency_mismatch,
    "amount_mismatch": _amount_mismatch,
    "dispute_not_clawed_back": _dispute_not_clawed_back,
    "over_clawed_back": _over_clawed_back,
    "refund_not_clawed_back": _refund_not_clawed_back,
}
CURRENCY_OF = {
    "ledger_amount": "ledger_currency",
    "clawed_back_amount": "ledger_currency",
    "net_credit": "ledger_currency",
    "paid_amount": "paid_currency",
    "refunded_amount": "paid_currency",
    "disputed_amount": "paid_currency",
    "net_payment": "paid_currency",
}


def _money(row: Row, name: str) -> str:
    if row[name] is None:
        return "an unknown amount"
    return formats.with_currency(row[name], row[CURRENCY_OF[name]])


def _settled(row: Row) -> str:
    if row["settled_gross"] is None:
        return "an unknown amount"
    return formats.with_currency(row["settled_gross"], row["settlement_currency"])


def _positive(amount: Decimal | None) -> bool:
    return amount is not None and amount > 0


def _has_return(row: Row) -> bool:
    return (
        bool(row["has_unknown_return"])
        or _positive(row["refunded_amount"])
        or _positive(row["disputed_amount"])
    )


def _returned(row: Row) -> list[str]:
    """Return sentences about the money that the customer got back."""
    parts = [
        f"{_money(row, name)} was {word}"
        for name, word in (("refunded_amount", "refunded"), ("disputed_amount", "disputed"))
        if _positive(row[name])
    ]
    sentences = [f"{' and '.join(parts)}."] if parts else []
    if row["has_unknown_return"]:
        sentences.append("Of some returned money, the amount is known only in the settlement currency.")
    return sentences


def _surplus(row: Row) -> Decimal | None:
    """Return the credit that remains, minus the payment that remains; None if the two cannot be compared."""
    credit, payment = row["net_credit"], row["net_payment"]
    if credit is None or payment is None or row["ledger_currency"] != row["paid_currency"]:
        return None
    return Decimal(credit) - Decimal(payment)


def _take_back(row: Row) -> str:
    surplus = _surplus(row)
    if row["has_unknown_return"] or surplus is None or surplus <= 0:
        return f"Look up at the processor how much was returned, and take it back with {TAKE_BACK}."
    return f"Take back {formats.with_currency(surplus, row['ledger_currency'])} with {TAKE_BACK}."


def _deposits(count: int) -> str:
    return "there is a deposit" if count == 1 else f"there are {count} deposits"


def _keys(row: Row) -> str:
    """Return the ids under which a deposit looks for its payment."""
    names = {
        "payment_intent_id": "the payment intent",
        "charge_id": "the charge",
        "checkout_session_id": "the Checkout Session",
        "payment_id": "the payment",
    }
    return " and ".join(f"{word} {row[name]}" for name, word in names.items() if row[name] is not None)


def _key_of_payment(row: Row) -> str | None:
    """Return the metadata that names the payment, None if the payment has no id that a deposit can name."""
    if row["payment_intent_id"] is not None:
        return f"metadata.payment_intent = {row['payment_intent_id']}"
    if row["charge_id"] is not None:
        return f"metadata.charge = {row['charge_id']}"
    if row["payment_id"] is not None:
        return f"metadata.rail = {row['rail']} and metadata.payment_id = {row['payment_id']}"
    return None


def _named(row: Row) -> str:
    key = _key_of_payment(row)
    return "" if key is None else f" ({key})"


def _tie(row: Row) -> str:
    listed = row["deposit_entry_ids"]
    which = "the suggested deposit" if len(listed) == 1 else "the suggested deposits"
    key = _key_of_payment(row)
    how = "the payment's id in its metadata" if key is None else key
    return (
        f"Do not credit again. Check {which}: {', '.join(listed)}. If it is the credit for this payment, land"
        f" a later version of it with {how}."
    )
