"""What is known of a Stripe file beside its rows: whose it is, live or test, and which span of time it covers.

A row does not say which filters made its file. Our own pull writes that into a hidden sidecar beside the file; a file from
Stripe's Dashboard has its days in its name; folders below the report type may name the account and the mode.
"""

import json
import posixpath
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from ingestion.landing import Landing, LandingFile
from ingestion.stripe.families import report_folder

DEFAULT_ACCOUNT: Final = "default"
# As the Dashboard names its downloads: Balance_Summary_USD_2026-10-01_to_2026-10-31_America-Toronto.csv, both days included.
DAYS_IN_NAME: Final = re.compile(r"(\d{4}-\d{2}-\d{2})_to_(\d{4}-\d{2}-\d{2})(?:_([A-Za-z]+(?:-[A-Za-z_]+)?))?")


@dataclass(frozen=True)
class FileFacts:
    """What holds for every row of a file. `covered_from` and `covered_until` (exclusive) are None where nobody says."""

    report_type: str
    account_id: str
    livemode: bool
    covered_from: datetime | None
    covered_until: datetime | None
    timezone: str
    """IANA name of the zone of times that are not marked as UTC."""


def sidecar_name(name: str) -> str:
    """The hidden file that tells how a report file was made, beside it."""
    return f".{name}.run.json"


def read_sidecar(landing: Landing, location: str) -> dict[str, Any] | None:
    """The sidecar of a file at `location`; None without one, or where it is no JSON object."""
    folder, name = posixpath.split(location)
    place = f"{folder}/{sidecar_name(name)}"
    if not landing.filesystem.exists(place):
        return None
    try:
        stated = json.loads(landing.filesystem.cat_file(place))
    except ValueError:
        return None
    return stated if isinstance(stated, dict) else None


def facts_of(landing: Landing, file: LandingFile) -> FileFacts:
    """Sidecar first, then the names of folders and file."""
    folders = file.path.split("/")[2:-1]
    account = next((name for name in folders if name.startswith("acct_")), DEFAULT_ACCOUNT)
    livemode = "test" not in folders
    timezone, span = _named_span(posixpath.basename(file.path))
    if sidecar := read_sidecar(landing, file.location):
        parameters = sidecar.get("parameters") or {}
        account = str(sidecar.get("account") or account)
        livemode = bool(sidecar.get("livemode", livemode))
        timezone = str(parameters.get("timezone") or "UTC")
        span = _instant(parameters.get("interval_start")), _instant(parameters.get("interval_end"))
    if timezone not in available_timezones():
        timezone = "UTC"
    return FileFacts(report_folder(file.path), account, livemode, *span, timezone)


def _instant(seconds: Any) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) else None


def _named_span(name: str) -> tuple[str, tuple[datetime | None, datetime | None]]:
    """The zone and the span that a file's name states."""
    found = DAYS_IN_NAME.search(name)
    if found is None:
        return "UTC", (None, None)
    zone = (found[3] or "UTC").replace("-", "/", 1)
    zone = zone if zone in available_timezones() else "UTC"
    try:
        first, last = (datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)) for day in found.group(1, 2))
    except ValueError:  # such as 2026-02-31
        return zone, (None, None)
    # Days are counted on the calendar of the zone: one of them may have 23 hours.
    return zone, (first.astimezone(UTC), (last + timedelta(days=1)).astimezone(UTC))
