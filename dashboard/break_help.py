"""The meaning and the remedy of each type of break. docs/reconciliation.md has the details."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BreakHelp:
    """The meaning and the remedy of a type of break."""

    meaning: str
    remedy: str


BREAKS = {
    "processor_only": BreakHelp(
        "A customer paid and received no credit.",
        "Credit the user with a deposit that names the payment, or refund the payment. If a suggested deposit"
        " is the right one, land a later version of it with the payment's id.",
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


def help_for(break_type: str) -> BreakHelp:
    """Return the texts for a type of break, also for one of a later version."""
    return BREAKS.get(break_type, UNKNOWN)
