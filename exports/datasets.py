"""What can be exported: each dataset is one mart, cut into reporting days or taken whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb

from warehouse.build_file import ON_CLUSTER
from warehouse.published import NotPublishedError

MONEY = "DECIMAL(38,12)"


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


@dataclass(frozen=True)
class Column:
    """A column as the published warehouse has it."""

    name: str
    type: str
    """DuckDB's name of the type, such as `DECIMAL(38,12)` or `TIMESTAMP WITH TIME ZONE`."""
    description: str


@dataclass(frozen=True)
class Table:
    """A mart of a published warehouse."""

    description: str
    columns: tuple[Column, ...]
    is_on_cluster: bool = False
    """Whether the published file only describes it: its rows are on the cluster."""

    @property
    def amounts(self) -> tuple[str, ...]:
        """The columns with money."""
        return tuple(column.name for column in self.columns if column.type == MONEY)


def published_table(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> Table:
    """The dataset's mart with its descriptions, which dbt wrote into the file as comments."""
    described = connection.execute(
        """select schema_name, coalesce(comment, '') from duckdb_tables()
        where database_name = current_database() and schema_name in ('marts', ?) and table_name = ?""",
        [ON_CLUSTER, dataset.mart],
    ).fetchone()
    if described is None:
        raise NotPublishedError(
            f"The published file has no marts.{dataset.mart}: it is of an earlier version. `paywall-warehouse"
            " run` makes it anew."
        )
    schema, description = described
    columns = connection.execute(
        """select column_name, data_type, coalesce(comment, '') from duckdb_columns()
        where database_name = current_database() and schema_name = ? and table_name = ?
            order by column_index""",
        [schema, dataset.mart],
    ).fetchall()
    return Table(description, tuple(Column(*row) for row in columns), is_on_cluster=schema == ON_CLUSTER)


def table_with_rows(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> Table:
    """`published_table` of a mart whose rows are in the published file; raises `NotPublishedError` where they
    are not.
    """
    table = published_table(connection, dataset)
    if table.is_on_cluster:
        raise NotPublishedError(
            f"marts.{dataset.mart} is on the cluster, as it has more than SPARK_PUBLISH_MAX_ROWS rows:"
            " ask for it there, or read its export."
        )
    return table
