"""The publication, its periods, and the values that the filters offer."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from dashboard.snapshot import Row, Snapshot
from exports.datasets import Dataset
from warehouse.runs import PUBLISHED


@dataclass(frozen=True)
class About:
    """The publication: its run, its times and the range of its data. Instants are UTC."""

    run_id: str
    published_at: datetime
    as_of: datetime
    today: date
    reporting_timezone: str
    default_currency: str
    ledger_currencies: tuple[str, ...]
    """The currencies of the ledger, the default one first. Empty for a ledger without entries."""
    other_currencies: tuple[str, ...]
    """The currencies that only payments, payouts or Stripe's balances have."""
    first_day: date
    last_day: date

    @property
    def currencies(self) -> tuple[str, ...]:
        """All currencies, those of the ledger first; the default one if there is none."""
        return (*self.ledger_currencies, *self.other_currencies) or (self.default_currency,)

    @property
    def is_empty(self) -> bool:
        """Whether the ledger has no entries."""
        return not self.ledger_currencies

    @property
    def partial_day(self) -> date | None:
        """Today, if it is not over as of the run."""
        zone = ZoneInfo(self.reporting_timezone)
        is_over = (self.as_of + timedelta(microseconds=1)).astimezone(zone).date() > self.today
        return None if is_over else self.today

    def same_time_on(self, day: date) -> datetime:
        """Return the instant on another day at which as much of it is over as is of today."""
        zone = ZoneInfo(self.reporting_timezone)
        return datetime.combine(day, self.as_of.astimezone(zone).time(), zone).astimezone(UTC)


def about(snapshot: Snapshot) -> About | None:
    """Return the publication, None if the file does not say which run published it."""
    rows = snapshot.rows(
        """with ledger_currencies as (select distinct currency from marts.fct_period_kpis),

        other_currencies as (
            select unnest([paid_currency, ledger_currency, settlement_currency]) as currency
            from marts.fct_reconciliation
            union select currency from marts.fct_payouts
            union select currency from marts.fct_stripe_balances
            except select currency from ledger_currencies
        )

        select run_id, finished_at as published_at, runs.as_of, today, reporting_timezone, default_currency,
            (select list(currency order by currency <> default_currency, currency) from ledger_currencies)
                as ledger_currencies,
            (select list(currency order by currency) from other_currencies where currency is not null)
                as other_currencies,
            coalesce((select min(date_day) from marts.dim_dates), today) as first_day,
            coalesce((select max(date_day) from marts.dim_dates), today) as last_day
        from ops.runs as runs cross join ops.settings as settings where status = ? order by runs.rowid desc
            limit 1""",
        [PUBLISHED],
    )
    if not rows:
        return None
    lists = {name: tuple(rows[0][name] or ()) for name in ("ledger_currencies", "other_currencies")}
    return About(**rows[0] | lists)


def periods(snapshot: Snapshot) -> dict[str, Row]:
    """Return the named periods with their half-open ranges of days, and those of the previous periods."""
    rows = snapshot.rows(
        "select distinct period, period_start, period_end, previous_start, previous_end from"
        " marts.fct_period_kpis"
    )
    return {row["period"]: row for row in rows}


def known_paywalls(snapshot: Snapshot) -> list[str]:
    """Return every paywall of the ledger."""
    return [
        row["paywall_id"] for row in snapshot.rows("select paywall_id from marts.dim_paywalls order by 1")
    ]


def known_models(snapshot: Snapshot) -> list[str]:
    """Return every model of the ledger."""
    return [row["model_id"] for row in snapshot.rows("select model_id from marts.dim_models order by 1")]


def dataset_columns(snapshot: Snapshot, dataset: Dataset) -> list[str]:
    """Return the columns of a dataset, in their order."""
    return [row["column_name"] for row in snapshot.rows(f"describe {dataset.relation}")]
