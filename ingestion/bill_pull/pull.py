"""Pulling bills: each span lands as one file, like those that a person lands, with all pages as received.

A span lands whole or not at all. Which days have landed is known from the sidecars of the files that still
exist, so that a pull that was killed at any time is continued by the next one.
"""

import hashlib
import posixpath
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from ingestion.bill_pull.apis import DAY, BillApi
from ingestion.bill_pull.client import AdminClient
from ingestion.landing.area import Landing
from ingestion.pulls.requesting import Pace
from ingestion.pulls.sidecars import described_files, land_with_sidecar, read_sidecar
from ingestion.pulls.windows import Span, windows_to_pull
from paywall_warehouse.settings import Settings

# A first pull without BILLS_FIRST_DAY begins with the month that was running so many days ago: the last
# closed months, and not more than a first run should wait for.
FIRST_PULL: Final = timedelta(days=90)
Progress = Callable[[str], None]


@dataclass(frozen=True)
class BillSidecar:
    """The file that a pull writes beside a bill: what was requested, and which days it states."""

    format: str
    parameters: dict[str, Any]
    """`start` and `end` (exclusive), UTC days in ISO 8601."""
    days: dict[str, str]
    """The stated days, and a digest of each one's results."""
    available_until: str
    """The end of the last complete UTC day at the time of the request, ISO 8601."""
    pages: int
    sha256: str
    bytes: int
    downloaded_at: str

    @property
    def end(self) -> datetime:
        """Return `available_until`."""
        return datetime.fromisoformat(self.available_until)

    def covered(self, look_back: timedelta) -> list[date]:
        """Return the days that need not be requested again.

        A day that was not stated is complete when it could not be restated any more.
        """
        first, last = (date.fromisoformat(self.parameters[name]) for name in ("start", "end"))
        days = [first + DAY * number for number in range((last - first).days)]
        return [
            day
            for day in days
            if day.isoformat() in self.days or _midnight(day) + DAY + look_back <= self.end
        ]


@dataclass
class PulledBills:
    """The result of one pull."""

    source: str
    files: list[str] = field(default_factory=list)
    """The landed files, relative to the landing area."""
    days: int = 0
    """The number of days that are new or have changed."""
    requested: int = 0
    """The number of days that were requested."""
    available_until: datetime | None = None
    warnings: list[str] = field(default_factory=list)


def pull_bills(
    settings: Settings,
    api: BillApi,
    progress: Progress = lambda _: None,
    *,
    now: datetime | None = None,
    deadline: float | None = None,
    pace: Pace | None = None,
) -> PulledBills:
    """Land the complete UTC days that have not landed, and those of the look-back that have changed.

    `now` is the time of the run. Raises `BillsRefusedError` with the API's message, and
    `BillsUnavailableError` if another try may help. A caller that tries again passes the `deadline` (of the
    monotonic clock) of its first try.
    """
    landing = Landing.of(settings)
    client = api.client(settings, pace or Pace())
    client.requesting.deadline = (
        time.monotonic() + settings.bills_deadline_seconds if deadline is None else deadline
    )
    # Days after AS_OF are left to a later run; days that are not over yet are never complete.
    end = _midnight(min(now or settings.now(), datetime.now(UTC)).astimezone(UTC).date())
    pulled = PulledBills(api.source, available_until=end)
    sidecars = pulled_bills(landing, api)
    known = _Known(sidecars, timedelta(days=settings.bills_look_back_days))
    start = first_day(settings, end)
    if api.history is not None:
        earliest = end - api.history
        pulled.warnings += _lost(api, known, start, earliest)
        start = max(start, earliest)
    for span in windows(start, end, known.covered_spans(), known.fresh_spans(end), known.look_back):
        _pull_span(landing, client, api, span, known, pulled, progress)
    return pulled


def windows(
    start: datetime, end: datetime, covered: Iterable[Span], fresh: Iterable[Span], look_back: timedelta
) -> list[Span]:
    """Return the spans to request: the missing days, and in every case the look-back before the end.

    Even if only the last day is missing, the look-back is requested with it: an API that does not state that
    day yet may refuse a span without a complete day.
    """
    if start >= end:
        return []
    missing = windows_to_pull((start, end), covered, fresh, look_back)
    recent = (max(start, end - look_back), end)
    if missing and missing[-1][1] == end:
        missing[-1] = (min(missing[-1][0], recent[0]), end)
    elif look_back:
        missing.append(recent)
    return missing


def first_day(settings: Settings, end: datetime) -> datetime:
    """Return the first day that is pulled: BILLS_FIRST_DAY, or the first of the month 90 days before."""
    if settings.bills_first_day is not None:
        return _midnight(settings.bills_first_day)
    return (end - FIRST_PULL).replace(day=1)


def pulled_bills(landing: Landing, api: BillApi) -> list[BillSidecar]:
    """Return the sidecars of the pulled files that still exist with their size, the earliest first.

    Files in the folders of accounts are not included: the key is that of the account `default`.
    """
    found = []
    for location, size in described_files(landing, api.source):
        sidecar = read_sidecar(landing, location, BillSidecar)
        in_folder = posixpath.dirname(landing.relative(location)) == api.source
        if in_folder and sidecar is not None and sidecar.bytes == size:
            try:
                sidecar.covered(timedelta())
            except (ValueError, TypeError, KeyError, OverflowError):
                continue  # not one that a pull wrote
            found.append(sidecar)
    return sorted(found, key=lambda sidecar: sidecar.downloaded_at)


class _Known:
    """What the files of earlier pulls state."""

    def __init__(self, sidecars: Iterable[BillSidecar], look_back: timedelta) -> None:
        self.look_back = look_back
        self.digests: dict[str, str] = {}
        self.contents: set[str] = set()
        self._ends: dict[date, datetime] = {}
        for sidecar in sidecars:
            self.add(sidecar)

    def add(self, sidecar: BillSidecar) -> None:
        """Add a file that landed after those that are known."""
        self.digests |= sidecar.days
        self.contents.add(sidecar.sha256)
        for day in sidecar.covered(self.look_back):
            self._ends[day] = max(sidecar.end, self._ends.get(day, sidecar.end))

    def covered_spans(self) -> list[Span]:
        """Return the days that are complete, each as a span."""
        return [(_midnight(day), _midnight(day) + DAY) for day in sorted(self._ends)]

    def fresh_spans(self, end: datetime) -> list[Span]:
        """Return the days that were requested when the same day was the last complete one."""
        return [
            (_midnight(day), _midnight(day) + DAY)
            for day, until in sorted(self._ends.items())
            if until >= end
        ]

    def changes(self, sidecar: BillSidecar) -> int:
        """Return how many days of a file are new, or stated differently."""
        stated = sum(self.digests.get(day) != digest for day, digest in sidecar.days.items())
        complete = set(sidecar.covered(self.look_back)) - self._ends.keys()
        return stated + sum(day.isoformat() not in sidecar.days for day in complete)


def _pull_span(
    landing: Landing,
    client: AdminClient,
    api: BillApi,
    span: Span,
    known: _Known,
    pulled: PulledBills,
    progress: Progress,
) -> None:
    with landing.staging() as staging_file:
        stated: dict[str, str] = {}
        pages = 0
        with staging_file.open("wb") as file:
            for text, days in api.pages(client, span):
                file.write(text.rstrip(b"\r\n") + b"\n")
                stated |= {one.day.isoformat(): one.digest for one in days}
                pages += 1
        sidecar = _sidecar(api, span, stated, pages, pulled.available_until or span[1], staging_file)
        pulled.requested += (span[1] - span[0]).days
        changes = known.changes(sidecar)
        if not changes:
            progress(f"{api.provider}: nothing new for {_shown(span)}")
            return
        while sidecar.sha256 in known.contents:
            # A day was restated and restated back. Content that has landed before would not be loaded again,
            # and the statement between would count, so a blank line makes it another file.
            with staging_file.open("ab") as file:
                file.write(b"\n")
            sidecar = _sidecar(api, span, stated, pages, pulled.available_until or span[1], staging_file)
        name = f"{span[0]:%Y-%m-%d}_{span[1]:%Y-%m-%d}-{sidecar.sha256[:12]}.json"
        pulled.files.append(land_with_sidecar(landing, api.source, name, staging_file, sidecar))
        pulled.days += changes
        known.add(sidecar)
    progress(f"{api.provider}: {_shown(span)} landed; new or changed days: {changes}")


def _sidecar(
    api: BillApi, span: Span, stated: dict[str, str], pages: int, end: datetime, staging_file: Path
) -> BillSidecar:
    with staging_file.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return BillSidecar(
        format=api.format,
        parameters={"start": span[0].date().isoformat(), "end": span[1].date().isoformat()},
        days=stated,
        available_until=end.isoformat(),
        pages=pages,
        sha256=digest,
        bytes=staging_file.stat().st_size,
        downloaded_at=datetime.now(UTC).isoformat(timespec="microseconds"),
    )


def _lost(api: BillApi, known: _Known, start: datetime, earliest: datetime) -> list[str]:
    """Return a warning if days are missing after the first pulled one that the API no longer has."""
    covered = [span[0] for span in known.covered_spans()]
    if not covered or covered[0] >= earliest:
        return []
    days = [covered[0] + DAY * number for number in range((earliest - covered[0]).days)]
    lost = [day for day in days if day >= start and day not in set(covered)]
    if not lost:
        return []
    return [
        f"{api.provider} no longer has {len(lost)} days from {lost[0]:%Y-%m-%d} to {lost[-1]:%Y-%m-%d} that"
        f" were not pulled in time. Download them by hand into landing/{api.source}/"
    ]


def _shown(span: Span) -> str:
    last = span[1] - DAY
    return f"{span[0]:%Y-%m-%d}" if last == span[0] else f"{span[0]:%Y-%m-%d} to {last:%Y-%m-%d}"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
