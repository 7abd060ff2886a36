"""The numbers of a period: their labels, formats and definitions."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from dashboard import formats

Kind = Literal["money", "count", "share", "average"]


@dataclass(frozen=True)
class Measure:
    """A column of the period KPIs (docs/contract.md#43-period-kpis)."""

    name: str
    label: str
    kind: Kind
    meaning: str
    is_cost: bool = False
    """Whether a higher value is worse."""

    def text_of(self, value: Any, currency: str) -> str:
        """Return the text of a value, with its unit."""
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

    def short_of(self, value: Any, currency: str) -> str:
        """Return the text of a value for a tile, where money is rounded to what is read at a glance."""
        if self.kind in ("money", "average") and value is not None:
            exact = value if isinstance(value, Decimal) else Decimal(repr(value))
            return formats.short_with_currency(exact, currency)
        return self.text_of(value, currency)

    def change(self, now: Any, before: Any) -> str | None:
        """Return the change of the value, None if it cannot be computed."""
        if self.kind == "share":
            return None if now is None or before is None else formats.signed((now - before) * 100, "points")
        return formats.change(now, before)


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("revenue", "Revenue", "money", "Settled charges. Top-ups are never revenue."),
        Measure(
            "refunds", "Refunds", "money", "Settled refunds of usage, on the day of the refund.", is_cost=True
        ),
        Measure("net_revenue", "Net revenue", "money", "Revenue minus refunds."),
        Measure(
            "provider_cost",
            "Provider cost",
            "money",
            "What AI providers bill for settled, failed and reversed charges.",
            is_cost=True,
        ),
        Measure(
            "platform_fees",
            "Platform fees",
            "money",
            "Fees of settled charges. A charge that states no fee counts as 0.",
            is_cost=True,
        ),
        Measure("profit", "Profit", "money", "Revenue minus provider cost and platform fees."),
        Measure("net_profit", "Net profit", "money", "Net revenue minus provider cost and platform fees."),
        Measure("margin", "Margin", "share", "Profit divided by revenue."),
        Measure(
            "revenue_paid",
            "Usage from paid credit",
            "money",
            "Usage of wallets, net of refunds by wallet and day, that credit paid for which users had bought."
            " A dash with filters of models or event types.",
        ),
        Measure(
            "revenue_promo",
            "Usage from promo credit",
            "money",
            "The part of usage that was paid from credit that was given away. Revenue and profit contain it.",
            is_cost=True,
        ),
        Measure(
            "revenue_unfunded",
            "Unfunded usage",
            "money",
            "The part of usage beyond all credit: wallets below 0. Revenue and profit contain it.",
            is_cost=True,
        ),
        Measure("active_users", "Active users", "count", "Users with a settled or failed charge."),
        Measure(
            "active_payers",
            "Active payers",
            "count",
            "Users with a settled charge above 0, also one that promo credit paid for.",
        ),
        Measure(
            "new_payers",
            "New payers",
            "count",
            "Active payers whose first payment, in any paywall, was in the period.",
        ),
        Measure(
            "returning_payers", "Returning payers", "count", "Active payers who had paid before the period."
        ),
        Measure("arpu", "ARPU", "average", "Average revenue per active payer, rounded."),
        Measure("charges", "Charges", "count", "Settled charges, including those of 0."),
        Measure("total_tokens", "Tokens", "count", "Tokens of settled charges."),
        Measure(
            "cost_coverage",
            "Cost coverage",
            "share",
            "Of the charges that can have a provider cost, the share whose cost is known.",
        ),
        Measure("deposits", "Deposits", "money", "Settled top-ups that a user paid for."),
        Measure("promo_deposits", "Promo deposits", "money", "Settled credits that were given away."),
    )
}
