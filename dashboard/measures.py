"""The numbers of a period by name: what they are called, how they are shown, what they mean."""

from dataclasses import dataclass
from typing import Any, Literal

from dashboard import formats

Kind = Literal["money", "count", "share", "average"]


@dataclass(frozen=True)
class Measure:
    """A column of contract 4.3."""

    name: str
    label: str
    kind: Kind
    meaning: str
    is_cost: bool = False
    """Whether more of it is worse."""

    def words(self, value: Any, currency: str) -> str:
        """A value of it, with its unit."""
        if value is None:
            return formats.NOTHING
        match self.kind:
            case "money":
                return formats.with_currency(value, currency)
            case "average":
                return f"{formats.average(value, currency)} {currency.upper()}"
            case "share":
                return formats.share(value)
            case "count":
                return formats.whole(value)

    def change(self, now: Any, before: Any) -> str | None:
        """By how much it has changed; None where that says nothing."""
        if self.kind == "share":
            return None if now is None or before is None else f"{(now - before) * 100:+.1f} points"
        return formats.change(now, before)


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("revenue", "Revenue", "money", "Settled charges. Top-ups are never revenue."),
        Measure("refunds", "Refunds", "money", "Settled refunds of usage, on their own day.", is_cost=True),
        Measure("net_revenue", "Net revenue", "money", "Revenue less refunds."),
        Measure(
            "provider_cost",
            "Provider cost",
            "money",
            "What providers bill for settled, failed and reversed charges.",
            is_cost=True,
        ),
        Measure("platform_fees", "Platform fees", "money", "Fees of settled charges.", is_cost=True),
        Measure("profit", "Profit", "money", "Revenue less provider cost and platform fees."),
        Measure("net_profit", "Net profit", "money", "Net revenue less provider cost and platform fees."),
        Measure("margin", "Margin", "share", "Profit / revenue."),
        Measure("active_users", "Active users", "count", "Users with a settled or failed charge."),
        Measure("active_payers", "Active payers", "count", "Users with a settled charge above 0."),
        Measure(
            "new_payers",
            "New payers",
            "count",
            "Payers whose first payment ever, anywhere, lies in the period.",
        ),
        Measure("returning_payers", "Returning payers", "count", "The other payers."),
        Measure("arpu", "ARPU", "average", "Revenue / active payers, rounded."),
        Measure("charges", "Charges", "count", "Settled charges, those of 0 included."),
        Measure("total_tokens", "Tokens", "count", "Of settled charges."),
        Measure(
            "cost_coverage",
            "Cost coverage",
            "share",
            "Share of the charges that can cost something whose cost is known.",
        ),
        Measure("deposits", "Deposits", "money", "Settled top-ups that somebody paid for."),
        Measure("promo_deposits", "Promo deposits", "money", "Settled credits that nobody paid for."),
    )
}
