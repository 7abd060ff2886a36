"""What can be exported: each dataset is one mart, cut into reporting days or taken whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Dataset:
    """A mart under the name that consumers know it by (contract, section 6)."""

    name: str
    mart: str
    """The table in the schema `marts`."""
    grain: tuple[str, ...]
    """The columns that identify a row; rows are ordered by them."""
    day: str | None = None
    """The column with the reporting day by which the dataset is partitioned; None: a snapshot, one partition.
    """
    currency: tuple[str, ...] = ("currency",)
    """The columns with the currency of the amounts, of which the first that has one counts; none of them:
    there are no totals.
    """
    currency_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The same for single amounts, where `currency` does not say it."""

    @property
    def order(self) -> tuple[str, ...]:
        """The columns by which rows are ordered: days first."""
        return tuple(dict.fromkeys([*([self.day] if self.day else []), *self.grain]))

    def currency_columns(self, amount: str) -> tuple[str, ...]:
        """The columns with the currency of an amount."""
        return self.currency_of.get(amount, self.currency)


RECONCILIATION_CURRENCIES = {
    "paid_amount": ("paid_currency",),
    "refunded_amount": ("paid_currency",),
    "disputed_amount": ("paid_currency",),
    "net_payment": ("paid_currency",),
    "settled_gross": ("settlement_currency",),
    "settled_fee": ("settlement_currency",),
    "settled_net": ("settlement_currency",),
    # Where a side is missing it is the other one's amount.
    "difference": ("ledger_currency", "paid_currency"),
}

DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset("ledger", "fct_ledger_entries", ("entry_id",), day="entry_date"),
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
        Dataset("users", "rpt_users", ("user_id", "currency")),
        Dataset("models", "rpt_models", ("model_id", "currency", "period")),
        Dataset("cohorts", "fct_cohorts", ("cohort_month", "currency", "months_since")),
        Dataset("period_kpis", "fct_period_kpis", ("period", "currency")),
        Dataset(
            "reconciliation",
            "fct_reconciliation",
            ("case_id",),
            currency=("ledger_currency",),
            currency_of=RECONCILIATION_CURRENCIES,
        ),
        Dataset("payouts", "fct_payouts", ("payout_id",)),
    )
}
