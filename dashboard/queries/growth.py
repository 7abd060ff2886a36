"""Growth: where revenue came from by period, and the users behind each movement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from dashboard.queries.paging import PageRequest
from dashboard.snapshot import Row, Snapshot
from exports.filters import Filter, all_of

PeriodKind = Literal["week", "month", "days_28"]
PERIOD_KINDS: tuple[PeriodKind, ...] = ("month", "week", "days_28")
# Those that add revenue, then those that take it away, then that of users whose revenue did not change.
GAINS, LOSSES, EVEN = ("new", "resurrected", "expansion"), ("contraction", "churned"), "retained"
MOVEMENTS = (*GAINS, *LOSSES, EVEN)
USER_COLUMNS = ("amount", "user_id", "movement", "revenue", "previous_revenue", "difference")


@dataclass(frozen=True)
class MovementSearch:
    """The users behind a bar: those of a period, and of a movement or all."""

    period_kind: PeriodKind
    period_start: date
    currency: str
    movement: str | None = None
    """None for all movements."""

    def conditions(self) -> list[Filter]:
        """Return the conditions on rows of `fct_user_movements`."""
        grain: Mapping[str, object] = {
            "period_kind": self.period_kind,
            "period_start": self.period_start,
            "currency": self.currency,
        }
        named = {} if self.movement is None else {"movement": self.movement}
        return [Filter(f"{column} = ?", (value,)) for column, value in {**grain, **named}.items()]


def is_published(snapshot: Snapshot) -> bool:
    """Return whether the published file has the tables of growth. Earlier versions wrote none."""
    rows = snapshot.rows(
        """select count(*) as tables from duckdb_tables()
        where schema_name = 'marts' and table_name in ('fct_growth', 'fct_user_movements')"""
    )
    return bool(rows[0]["tables"] == 2)


def periods(snapshot: Snapshot, kind: PeriodKind, currency: str) -> list[Row]:
    """Return all periods of a kind in one currency, the first one first.

    `net_new` is the revenue minus that of the period before.
    """
    return snapshot.rows(
        """select period_start as starts_on, is_complete, users_new, users_retained, users_resurrected,
            users_churned, revenue, previous_revenue, revenue - previous_revenue as net_new, new, resurrected,
            expansion, contraction, churned, gross_retention, net_retention, quick_ratio
        from marts.fct_growth where period_kind = ? and currency = ? order by period_start""",
        [kind, currency],
    )


def movement_sums(snapshot: Snapshot, search: MovementSearch) -> Row:
    """Return the number of users behind a bar, and the sums of their amounts."""
    where, values = all_of(search.conditions())
    return snapshot.rows(
        f"""select count(*) as users, coalesce(sum(amount), 0) as amount,
            coalesce(sum(revenue - previous_revenue), 0) as difference
        from marts.fct_user_movements where {where}""",
        values,
    )[0]


def users(snapshot: Snapshot, search: MovementSearch, page: PageRequest) -> Sequence[Row]:
    """Return a page of the users behind a bar. `difference` is how much more the user spent than before."""
    where, values = all_of(search.conditions())
    chosen = ", ".join(USER_COLUMNS)
    return snapshot.rows(
        f"""select {chosen} from (
            select *, revenue - previous_revenue as difference from marts.fct_user_movements where {where}
        ) {page.sql(USER_COLUMNS, "user_id")}""",
        values,
    )
