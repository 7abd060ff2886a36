"""What open breaks mean and what a person does about them, in a sentence each; docs/reconciliation.md has the
whole of it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class BreakWords:
    """A kind of break in words."""

    meaning: str
    remedy: str


BREAKS = {
    "processor_only": BreakWords(
        "A customer paid and got no credit.",
        "Credit the user with a deposit that names the payment, or refund it. If a deposit is suggested and"
        " right, state a later version of it with the payment's id.",
    ),
    "ledger_only": BreakWords(
        "A user was credited, and the processor knows no such payment.",
        "Find out who made the entry. Without money behind it reverse it; a gift is stated as"
        " metadata.funding = promo.",
    ),
    "duplicate_deposit": BreakWords(
        "More than one deposit for one payment, together above what was paid.",
        "Reverse the surplus deposit, or take it back with a refund or negative adjustment that has the"
        " deposit as related_id.",
    ),
    "currency_mismatch": BreakWords(
        "Paid in one currency, credited in another.",
        "Correct the deposit's currency and amount; check how the checkout converts.",
    ),
    "amount_mismatch": BreakWords(
        "Credited is not what the customer paid.",
        "Too little: credit the rest with a second deposit that names the payment. Too much: take it back"
        " with the deposit as related_id.",
    ),
    "dispute_not_clawed_back": BreakWords(
        "A dispute is open or lost, and the credit is still there.",
        "Take the credit back now, or when the dispute is lost. One that is won closes the break by itself.",
    ),
    "over_clawed_back": BreakWords(
        "More credit was taken back than money went back to the customer.",
        "Give the difference back with a positive adjustment that has the deposit as related_id, "
        "or state a later version of the entry that took too much.",
    ),
    "refund_not_clawed_back": BreakWords(
        "Money went back to the customer, and the credit is still there in full or in part.",
        "Book a refund of the deposit, a withdrawal or a negative adjustment with the deposit as related_id.",
    ),
}
UNKNOWN = BreakWords("A kind of break that this dashboard does not know.", "See docs/reconciliation.md.")


def words_of(break_type: str) -> BreakWords:
    """A kind of break in words, one of a later version too."""
    return BREAKS.get(break_type, UNKNOWN)
