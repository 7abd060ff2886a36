"""The publication, its periods, and the values that the filters offer."""

from dataclasses import dataclass
from datetime import date, datetime

from dashboard.snapshot import Row, Snapshot
from exports.datasets import DATASETS
from warehouse.runs import PUBLISHED


@dataclass(frozen=True)
class About:
    """The publication: its run, its times and the range of its data. Instants are UTC."""

    run_id: str
    published_at: datetime
    as_of: datetime
    today: date
    reporting_timezone: str
    currencies: tuple[str, ...]
    """The currencies of the ledger, the default one first."""
    first_day: date
    last_day: date


def about(snapshot: Snapshot) -> About | None:
    """Return the publication, None for a ledger without entries."""
    rows = snapshot.rows(
        """select run_id, finished_at as published_at, runs.as_of, today, reporting_timezone,
            (select list(currency order by currency <> default_currency, currency) from marts.fct_period_kpis
                where period = 'today')
                as currencies,
            (select min(date_day) from marts.dim_dates) as first_day,
            (select max(date_day) from marts.dim_dates) as last_day
        from ops.runs as runs cross join ops.settings as settings where status = ? order by runs.rowid desc
            limit 1""",
        [PUBLISHED],
    )
    if not rows or not rows[0]["currencies"]:
        return None
    return About(**rows[0] | {"currencies": tuple(rows[0]["currencies"])})


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


def dataset_columns(snapshot: Snapshot, dataset: str) -> list[str]:
    """Return the columns of a dataset, in their order."""
    return [row["column_name"] for row in snapshot.rows(f"describe marts.{DATASETS[dataset].mart}")]
