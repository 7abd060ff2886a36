"""The datasets that can be exported. Each one is a mart, partitioned by day or as one snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from paywall_warehouse.settings import Settings


@dataclass(frozen=True)
class Dataset:
    """A mart and the name of its export (`docs/contract.md#62-datasets`)."""

    name: str
    mart: str
    """The table."""
    grain: tuple[str, ...]
    """The columns that identify a row. Rows are ordered by them."""
    day: str | None = None
    """The column with the day by which the dataset is partitioned; None for a snapshot. It is the
    reporting day, and the UTC day of bills.
    """
    currency: tuple[str, ...] = ("currency",)
    """The columns with the currency of the amounts. The first one that has a value counts.

    Without such columns, there are no totals.
    """
    currency_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The currency columns of amounts to which `currency` does not apply."""
    user: str = "user_id"
    """The column with the user, where the table has one."""
    whole_seconds: bool = False
    """Whether the text of instants ends with the second. Otherwise it has six decimals."""
    is_optional: bool = False
    """Whether the dataset is written to the export only if a setting asks for it (`exported_datasets`)."""
    schema: str = "marts"
    """The schema of the table. Only downloads of the dashboard read another one."""

    @property
    def relation(self) -> str:
        """The table with its schema (SQL)."""
        return f"{self.schema}.{self.mart}"

    @property
    def order(self) -> tuple[str, ...]:
        """The columns by which rows are ordered, the day first."""
        return tuple(dict.fromkeys([*([self.day] if self.day else []), *self.grain]))

    def currency_columns(self, amount: str) -> tuple[str, ...]:
        """Return the columns with the currency of an amount."""
        return self.currency_of.get(amount, self.currency)


# Quantities are decimals too, and have no totals.
NO_MONEY: tuple[str, ...] = ()
RECONCILIATION_CURRENCIES = {
    "paid_amount": ("paid_currency",),
    "refunded_amount": ("paid_currency",),
    "disputed_amount": ("paid_currency",),
    "net_payment": ("paid_currency",),
    "settled_gross": ("settlement_currency",),
    "settled_fee": ("settlement_currency",),
    "settled_net": ("settlement_currency",),
    # If one side is missing, the difference is the other side's amount.
    "difference": ("ledger_currency", "paid_currency"),
}

DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "ledger",
            "fct_ledger_entries",
            ("entry_id",),
            day="entry_date",
            currency_of={"provider_cost": ("provider_cost_currency",)},
        ),
        Dataset(
            "daily_revenue",
            "fct_daily_revenue",
            ("date_day", "paywall_id", "model_id", "currency"),
            day="date_day",
        ),
        Dataset(
            "user_days", "fct_user_days", ("date_day", "user_id", "paywall_id", "currency"), day="date_day"
        ),
        Dataset(
            "wallet_days",
            "fct_wallet_days",
            ("user_id", "paywall_id", "currency", "date_day"),
            day="date_day",
        ),
        Dataset("balance_rollforward", "fct_balance_rollforward", ("date_day", "currency"), day="date_day"),
        Dataset("usage_errors", "fct_usage_errors", ("event_id",), day="error_date", currency=()),
        Dataset(
            "bill_lines",
            "fct_bill_lines",
            ("bill_line_id",),
            day="usage_date",
            currency_of={"quantity": NO_MONEY},
        ),
        Dataset(
            "cost_reconciliation",
            "fct_cost_reconciliation",
            ("provider", "usage_date", "model_id", "currency"),
            day="usage_date",
            currency_of={"billed_tokens": NO_MONEY},
        ),
        Dataset(
            "credit_days",
            "fct_credit_days",
            ("user_id", "paywall_id", "currency", "date_day"),
            day="date_day",
        ),
        Dataset(
            "journal",
            "fct_journal_lines",
            # Of two lines that differ in their side only, the debit of one is 0.
            ("journal_date", "journal", "account", "currency", "relates_to_date", "debit"),
            day="journal_date",
        ),
        Dataset("users", "rpt_users", ("user_id", "currency")),
        Dataset("models", "rpt_models", ("model_id", "currency", "period")),
        Dataset("cohorts", "fct_cohorts", ("cohort_month", "currency", "months_since")),
        Dataset("period_kpis", "fct_period_kpis", ("period", "currency")),
        Dataset("growth", "fct_growth", ("period_kind", "period_start", "currency")),
        Dataset(
            "reconciliation",
            "fct_reconciliation",
            ("case_id",),
            currency=("ledger_currency",),
            currency_of=RECONCILIATION_CURRENCIES,
        ),
        Dataset("payouts", "fct_payouts", ("payout_id",)),
        Dataset("deferred_revenue", "fct_deferred_revenue", ("date_day", "currency")),
        Dataset(
            "focus",
            "rpt_focus",
            (
                "x_ReportingDate",
                "BillingAccountId",
                "SubAccountId",
                "BillingCurrency",
                "x_Kind",
                "x_Billing",
                "SkuId",
                "PricingUnit",
                "x_RelatedPeriodStart",
            ),
            day="x_ReportingDate",
            currency=("BillingCurrency",),
            currency_of={"ConsumedQuantity": NO_MONEY, "PricingQuantity": NO_MONEY},
            user="BillingAccountId",
            whole_seconds=True,
            is_optional=True,
        ),
    )
}


def exported_datasets(settings: Settings) -> dict[str, Dataset]:
    """Return the datasets that are written to the export. All datasets can be read as slices."""
    return {
        name: dataset
        for name, dataset in DATASETS.items()
        if settings.export_focus or not dataset.is_optional
    }
