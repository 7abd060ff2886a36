"""Reporting days as instants, by DuckDB's calendar, which also determines the reporting days of the
entries.
"""

from datetime import UTC, date, datetime, timedelta

from paywall_warehouse.duckdb_connections import open_duckdb

EPOCH = datetime.fromtimestamp(0, UTC)

# Minutes are tested instead of midnight, because in some places clocks change at midnight, even back into the
# day before.
LAST_INSTANT = """
select epoch_us(least(
    max(minute) + interval 1 minute - interval 1 microsecond,
    case when cast(timezone($zone, $now) as date) = $day then $now end
))
from (
    select unnest(generate_series(noon - interval 36 hour, noon + interval 36 hour,
        interval 1 minute)) as minute
    from (select (cast($day as timestamp) + interval 12 hour) at time zone 'UTC' as noon)
)
where cast(timezone($zone, minute) as date) = $day
"""


def last_instant(day: date, zone: str, now: datetime) -> datetime | None:
    """Return the last microsecond of a reporting day, or `now` while that day lasts.

    Return None for a day that the zone never had.
    """
    with open_duckdb() as connection:
        (microseconds,) = connection.execute(LAST_INSTANT, {"day": day, "zone": zone, "now": now}).fetchall()[
            0
        ]
    return None if microseconds is None else EPOCH + timedelta(microseconds=microseconds)
