"""The words, the meaning and the remedy of each type of cost break. docs/costs.md has the rules.

`help_for` describes a type. `cost_break_help` describes one case: what to do depends on its evidence.
"""

import csv
import io
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext

from dashboard import formats
from dashboard.break_help import BreakHelp
from dashboard.snapshot import Row

UNKNOWN_MODEL = "unknown"
# Stands for the part of a line of bills/models.csv that only a person knows.
MODEL_ID = "MODEL_ID"
# Sums of DECIMAL(38,12) have more digits than Python's context keeps.
DIGITS = 60
SERVICES_PRIORITY = 3

WORDS = {
    "billed_not_metered": "Billed, not recorded",
    "metered_not_billed": "Recorded, not billed",
    "currency_mismatch": "Billed in another currency",
    "token_mismatch": "Other tokens",
    "rate_mismatch": "Other price",
    "estimated_off": "Estimate differs from bill",
}
"""What people read in place of the code of a type of break, in the order of the priorities."""

BREAKS = {
    "billed_not_metered": BreakHelp(
        "The provider billed usage for which the ledger has no charge.",
        "Find the key and the project in the bill lines. If the traffic is not sold, state that in"
        " bills/scope.csv. If it is sold, the ledger loses charges: land them.",
    ),
    "metered_not_billed": BreakHelp(
        "The ledger has a cost, and the bill has no line for it.",
        "Look for the model under another name on the bill of that day, and state the name in"
        " bills/models.csv. If another provider bills the calls, state metadata.billed_by on the charges.",
    ),
    "currency_mismatch": BreakHelp(
        "The charges and the bill of this provider, day and model are in different currencies.",
        "State provider_cost_currency on the charges, or correct it.",
    ),
    "token_mismatch": BreakHelp(
        "Both sides state tokens, and the numbers differ: retries, streams that were cut off, or cached or"
        " reasoning tokens that one side leaves out.",
        "Compare the part of the volume with the part of the price. The volume is what missing or additional"
        " tokens cost at the billed price.",
    ),
    "rate_mismatch": BreakHelp(
        "The tokens agree, and the price differs: a discount, a service tier, cached tokens at the full"
        " price, or an old price list in the gateway.",
        "Correct the price in the gateway. The bill is right until the provider says otherwise.",
    ),
    "estimated_off": BreakHelp(
        "Costs in the ledger are estimated or unknown, and the bill has another amount.",
        "Let the gateway state provider_cost, or correct the rates in prices/.",
    ),
}
UNKNOWN = BreakHelp("This dashboard does not know this type of break.", "See docs/costs.md.")
NOTHING_TO_DO = BreakHelp("Both sides agree within the tolerance.", "Nothing.")


def words_for(break_type: str | None) -> str:
    """Return the words for a type of break, its code if it is one of a later version."""
    return formats.NOTHING if break_type is None else WORDS.get(break_type, break_type)


def help_for(break_type: str) -> BreakHelp:
    """Return the texts for a type of break, also for one of a later version."""
    return BREAKS.get(break_type, UNKNOWN)


def cost_break_help(row: Row, billed_names: Sequence[str] = ()) -> BreakHelp:
    """Return what a row of `fct_cost_reconciliation` means, and what to do. The texts are not escaped.

    `billed_names` are the models that its bill lines name.
    """
    if row["status"] == "matched":
        return NOTHING_TO_DO
    if row["status"] == "pending":
        return _pending(row)
    known = ADVICE.get(row["break_type"])
    return help_for(row["break_type"]) if known is None else known(row, billed_names)


def difference_words(row: Row) -> str:
    """Return in words how much the bill differs from the ledger, and which part is volume and which price."""
    difference, volume = row["difference"], row["volume_difference"]
    if row["billed_cost"] is None:
        return "There is no difference yet, because no bill covers the day."
    if difference is None:
        return "The difference is unknown, because the cost of none of the charges is known."
    if not difference:
        total = "The bill and the ledger have the same cost."
    else:
        total = f"The bill is {_more(row, difference)} than the ledger."
    if volume is None:
        reason = _why_unsplit(row)
        return f"{total} {reason}" if difference else total
    with localcontext(prec=DIGITS):
        tokens = Decimal(row["billed_tokens"]) - row["ledger_tokens"]
    parts = []
    if tokens:
        count = formats.money(tokens.copy_abs(), None)
        which = "more" if tokens > 0 else "fewer"
        effect = f"makes {_more(row, volume)}" if volume else "costs nothing"
        parts.append(f"Volume: it has {count} {which} tokens, which {effect} at the billed price.")
    else:
        parts.append("Volume: it has the same tokens.")
    rate = row["rate_difference"]
    if rate:
        parts.append(f"Rate: another price for the same tokens makes {_more(row, rate)}.")
    else:
        parts.append("Rate: it has the same price for the same tokens.")
    return " ".join([total, *parts])


def _more(row: Row, amount: Decimal) -> str:
    """Return an amount without its sign, and whether it is more or less."""
    size = formats.with_currency(amount.copy_abs(), row["currency"])
    return f"{size} {'more' if amount > 0 else 'less'}"


def _why_unsplit(row: Row) -> str:
    is_one_sided = not row["charges"] or (row["billed_tokens"] == 0 and not row["billed_cost"])
    if is_one_sided:
        return "Only one side has usage, so it is not split into volume and rate."
    sides = [
        name for name, column in (("ledger", "ledger_tokens"), ("bill", "billed_tokens")) if not row[column]
    ]
    states = "states" if len(sides) == 1 else "state"
    return (
        f"It is not split into volume and rate, because the {' and the '.join(sides)} {states} no tokens."
        if sides
        else "It is not split into volume and rate."
    )


def _pending(row: Row) -> BreakHelp:
    if row["billed_cost"] is None:
        return BreakHelp(
            f"No bill of {row['provider']} covers this day yet.",
            "Nothing, if the next bill will cover it. Otherwise land the bill of this day.",
        )
    return BreakHelp(
        "The bill of this day may still grow.",
        "Nothing yet. If the sides still differ after COST_GRACE_DAYS, this becomes a break. Land the bill of"
        " this day again if it has changed.",
    )


def _billed_not_metered(row: Row, billed_names: Sequence[str]) -> BreakHelp:
    known, cost = BREAKS["billed_not_metered"], formats.with_currency(row["billed_cost"], row["currency"])
    if row["priority"] == SERVICES_PRIORITY:
        return BreakHelp(
            f"{row['provider']} billed {cost} for services that are no tokens and have no model, such as web"
            " search or code execution.",
            "If customers pay for it, add it to the price of the calls that cause it. If it is not sold,"
            " state that in bills/scope.csv.",
        )
    meaning = f"{row['provider']} billed {cost}, and the ledger has no charge for it."
    if row["model_id"] == UNKNOWN_MODEL and billed_names:
        return BreakHelp(
            f"{meaning} The bill names {_listed(billed_names)}, which no rule resolves to a model of the"
            " ledger.",
            "If the ledger has these calls under another name, state it in bills/models.csv (the line is on"
            f" the page Costs). {known.remedy}",
        )
    return BreakHelp(meaning, known.remedy)


def _metered_not_billed(row: Row, _: Sequence[str]) -> BreakHelp:
    cost = formats.with_currency(row["ledger_cost"], row["currency"])
    return BreakHelp(
        f"The ledger has {formats.counted(row['charges'], 'charge')} that cost {cost}, and the bill of"
        f" {row['provider']} has no line for {row['model_id']} on this day.",
        "Look for the model among the other breaks of the day, below: if the bill writes its name in another"
        " way, state the name in bills/models.csv. If another provider bills the calls, state"
        " metadata.billed_by on the charges. If the calls failed before they cost anything, land later"
        " versions of the charges with provider_cost 0.",
    )


def _currency_mismatch(row: Row, _: Sequence[str]) -> BreakHelp:
    code, has_charges = row["currency"].upper(), bool(row["charges"])
    meaning = (
        f"The charges have their cost in {code}, and the bill of the same provider, day and model is in"
        " another currency."
        if has_charges
        else f"The bill is in {code}, and the charges of the same provider, day and model have their cost in"
        " another currency."
    )
    return BreakHelp(
        meaning,
        "The other half is among the other breaks of the day, below. State provider_cost_currency on the"
        " charges, or correct it.",
    )


def _estimated_off(row: Row, _: Sequence[str]) -> BreakHelp:
    charges = formats.counted(row["charges"], "charge")
    if row["ledger_cost"] is None:
        meaning = f"No cost is known of {charges}, neither stated nor estimated."
    else:
        estimated = formats.with_currency(row["ledger_cost_estimated"], row["currency"])
        without = row["charges_without_cost"]
        parts = [f"{estimated} of the ledger's cost is estimated from the price list"]
        if without:
            parts.append(f"{formats.whole(without)} of {charges} {'has' if without == 1 else 'have'} no cost")
        meaning = f"{', and '.join(parts)}."
    return BreakHelp(f"{meaning} The bill has another amount.", BREAKS["estimated_off"].remedy)


def _token_mismatch(row: Row, _: Sequence[str]) -> BreakHelp:
    with localcontext(prec=DIGITS):
        has_more = row["billed_tokens"] > row["ledger_tokens"]
    if has_more:
        return BreakHelp(
            "The provider billed more tokens than the ledger recorded: retries that are not logged, streams"
            " that were cut off, or reasoning tokens that the gateway leaves out.",
            "Compare the token kinds of the bill lines with the charges, and let the gateway record what is"
            " missing: those tokens are not sold.",
        )
    return BreakHelp(
        "The ledger recorded more tokens than the provider billed: charges that are recorded twice, calls"
        " that another key or provider paid, or cached tokens that the bill leaves out.",
        "Look for repeated charges and for charges that another provider bills (metadata.billed_by).",
    )


ADVICE: dict[str, Callable[[Row, Sequence[str]], BreakHelp]] = {
    "billed_not_metered": _billed_not_metered,
    "metered_not_billed": _metered_not_billed,
    "currency_mismatch": _currency_mismatch,
    "token_mismatch": _token_mismatch,
    "estimated_off": _estimated_off,
}


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def line_of_model(provider: str, model_as_billed: str, candidates: Sequence[str]) -> str:
    """Return a line of `bills/models.csv` for a name on bills.

    The model is the candidate if there is exactly one, else a mark that a person replaces: names are never
    guessed.
    """
    model_id = candidates[0] if len(candidates) == 1 else MODEL_ID
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow((provider, model_as_billed, model_id))
    return line.getvalue()
