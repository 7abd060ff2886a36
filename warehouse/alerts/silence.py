"""The rules about silence: nothing has come for several times the longest gap of a usual week."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import median
from typing import Final

from ingestion.lake.batches import Lake
from warehouse.alerts.definitions import ENTRIES, WEBHOOKS, Rule
from warehouse.alerts.findings import Evaluation, Finding, short

WEEKS: Final = 10
LEAST_GAPS: Final = 4
LEAST_WEEKS: Final = 3
HOUR: Final = timedelta(hours=1)
EVENTS: Final = "events"


def silent_sources(evaluation: Evaluation, rule: Rule) -> Iterator[Finding]:
    """Yield the sources that have been silent for too long."""
    of, times = rule.options["of"], float(rule.options["times"])
    instants = entry_times(evaluation) if of == ENTRIES else file_times(evaluation)
    for source, times_of_source in sorted(instants.items()):
        if source in rule.options["ignore"] or (of == WEBHOOKS and source != EVENTS):
            continue
        usual = usual_gap(times_of_source, evaluation.now)
        if usual is None:
            continue
        silence = evaluation.now - max(times_of_source)
        if silence > usual * times:
            what = "entry" if of == ENTRIES else "file"
            yield Finding(
                source,
                f"No {what} of {short(source)} since {max(times_of_source):%Y-%m-%d %H:%M} UTC; the longest"
                f" gap of a usual week is {_hours(usual)} hours.",
                _hours(silence),
                _hours(usual),
            )


def usual_gap(instants: Sequence[datetime], now: datetime) -> timedelta | None:
    """Return the longest gap of a usual week: the median of the longest gaps of the last ten weeks.

    Nights and weekends without anything are part of a usual week. With gaps in less than three weeks, return
    the longest one; None if there are fewer than four gaps.
    """
    recent = sorted(one for one in instants if now - timedelta(weeks=WEEKS) <= one <= now)
    gaps = [(later, later - earlier) for earlier, later in pairwise(recent)]
    if len(gaps) < LEAST_GAPS:
        return None
    longest: dict[tuple[int, int], timedelta] = {}
    for later, gap in gaps:
        week = later.isocalendar()[:2]
        longest[week] = max(gap, longest.get(week, gap))
    if len(longest) < LEAST_WEEKS:
        return max(longest.values())
    return timedelta(seconds=median(gap.total_seconds() for gap in longest.values()))


def file_times(evaluation: Evaluation) -> Mapping[str, list[datetime]]:
    """Return when files of each source were loaded. Files of one batch came together."""
    times: dict[str, set[datetime]] = {}
    for manifest in Lake(evaluation.home).manifests():
        for file in manifest.files:
            times.setdefault(file.source, set()).add(manifest.loaded_at)
    return {source: sorted(found) for source, found in times.items()}


def entry_times(evaluation: Evaluation) -> Mapping[str, list[datetime]]:
    """Return the hours with entries of each source, in UTC. Entries after `AS_OF` do not count."""
    rows = evaluation.published.execute(
        """select distinct source, epoch(date_trunc('hour', occurred_at))
        from marts.fct_ledger_entries where occurred_at >= ? and occurred_at <= ?""",
        [evaluation.now - timedelta(weeks=WEEKS), evaluation.now],
    ).fetchall()
    times: dict[str, list[datetime]] = {}
    for source, seconds in rows:
        times.setdefault(source, []).append(datetime.fromtimestamp(seconds, evaluation.now.tzinfo))
    return times


def _hours(gap: timedelta) -> Decimal:
    return round(Decimal(gap.total_seconds()) / Decimal(HOUR.total_seconds()), 1)
