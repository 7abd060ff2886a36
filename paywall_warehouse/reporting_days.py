"""Reporting days as instants, in DuckDB's own calendar, which the reporting days of the entries come from
too.
"""

from datetime import UTC, date, datetime, timedelta

import duckdb

EPOCH = datetime.fromtimestamp(0, UTC)

# By minutes rather than by the clock at midnight: clocks are turned at midnight in some places, back into the
# day before even.
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
    """Return the last microsecond of a reporting day, or `now` while that day lasts; None for a day that the
    zone never had.
    """
    with duckdb.connect() as connection:
        (microseconds,) = connection.execute(LAST_INSTANT, {"day": day, "zone": zone, "now": now}).fetchall()[
            0
        ]
    return None if microseconds is None else EPOCH + timedelta(microseconds=microseconds)
