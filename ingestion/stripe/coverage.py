"""What is known of a Stripe file beside its rows: whose it is, live or test, and which span of time it covers.

A row does not say which filters made its file. Our own pull writes that into a hidden sidecar beside the file; a file from
Stripe's Dashboard has its days in its name; folders below the report type may name the account and the mode.
"""

import posixpath
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from babel.numbers import list_currencies
from pydantic import TypeAdapter

from ingestion.landing import Landing, LandingFile
from ingestion.stripe.families import report_folder
from ingestion.stripe.windows import Span

DEFAULT_ACCOUNT: Final = "default"
SIDECAR: Final = ".run.json"
# One of ours has less than 2 kB.
MAX_SIDECAR_BYTES: Final = 64 << 10
# As the Dashboard names its downloads: Balance_Summary_USD_2026-10-01_to_2026-10-31_America-Toronto.csv, both days included.
DAYS_IN_NAME: Final = re.compile(r"(\d{4}-\d{2}-\d{2})_to_(\d{4}-\d{2}-\d{2})(?:_([A-Za-z][A-Za-z0-9+_-]*))?")
# In front of the days, where only the rows of one balance were asked for.
CURRENCY_IN_NAME: Final = re.compile(r"(?:^|[_ -])([A-Z]{3})_\d{4}-\d{2}-\d{2}_to_")


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
    covered_currency: str | None = None
    """The only currency whose rows the file has; None where it was made for all."""


@dataclass(frozen=True)
class Sidecar:
    """What our pull writes beside a file: how it was made. `parameters` are those of the report run, spans in Unix seconds."""

    report_type: str
    parameters: dict[str, Any]
    livemode: bool
    """Of the rows."""
    key_livemode: bool
    """Of the key that pulled them."""
    account: str | None
    available_until: str
    """Up to when Stripe had data when it was asked, ISO 8601."""
    sha256: str
    bytes: int
    downloaded_at: str
    id: str | None = None
    """The report run; Checkout Sessions have none."""

    @property
    def span(self) -> Span:
        """What the file covers."""
        start, end = (datetime.fromtimestamp(self.parameters[name], UTC) for name in ("interval_start", "interval_end"))
        return start, end


def sidecar_name(name: str) -> str:
    """The hidden file that tells how a report file was made, beside it."""
    return f".{name}{SIDECAR}"


def described_by(name: str) -> str | None:
    """The name of the file that a sidecar of this name tells of; None for any other name."""
    return name[1:].removesuffix(SIDECAR) if name.startswith(".") and name.endswith(SIDECAR) else None


def read_sidecar(landing: Landing, location: str) -> Sidecar | None:
    """The sidecar at a location; None without one, or where it is not what we write."""
    try:
        sidecar = TypeAdapter(Sidecar).validate_json(landing.beginning(location, MAX_SIDECAR_BYTES), strict=True)
        is_ours = bool(sidecar.span) and datetime.fromisoformat(sidecar.available_until).tzinfo is not None
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None
    return sidecar if is_ours else None


def facts_of(landing: Landing, file: LandingFile) -> FileFacts:
    """Sidecar first, then the names of folders and file."""
    folders = file.path.split("/")[2:-1]
    account = next((name for name in folders if name.startswith("acct_")), DEFAULT_ACCOUNT)
    livemode = "test" not in folders
    timezone: str
    span: Span | tuple[None, None]
    timezone, span = _named_span(posixpath.basename(file.path))
    currency = named_currency(file.path)
    folder, name = posixpath.split(file.location)
    if sidecar := read_sidecar(landing, f"{folder}/{sidecar_name(name)}"):
        account, livemode, span = sidecar.account or account, sidecar.livemode, sidecar.span
        timezone = str(sidecar.parameters.get("timezone", "UTC"))
        currency = sidecar.parameters.get("currency")
    if timezone not in available_timezones():
        timezone = "UTC"
    return FileFacts(report_folder(file.path), account, livemode, span[0], span[1], timezone, str(currency).lower() if currency else None)


def named_currency(path: str) -> str | None:
    """Return the currency that a Dashboard download's name states, in lower case; None where it states none.

    Only a currency of ISO 4217 counts: `Report_NEW_2026-…` is no file of one currency. `ALL` is no lek there, since Stripe holds no
    balances in it.
    """
    found = CURRENCY_IN_NAME.search(posixpath.basename(path))
    return found[1].lower() if found and found[1] != "ALL" and found[1] in list_currencies() else None


def _named_span(name: str) -> tuple[str, Span | tuple[None, None]]:
    """The zone and the span that a file's name states."""
    found = DAYS_IN_NAME.search(name)
    if found is None:
        return "UTC", (None, None)
    # Slashes are dashes there: America-Argentina-Buenos_Aires, Etc-GMT-1. What is no zone says nothing about one.
    stated = found[3] or "UTC"
    spellings = (stated.replace("-", "/"), stated.replace("-", "/", 1), stated)
    zone = next((name for name in spellings if name in available_timezones()), "UTC")
    try:
        first, last = (datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)) for day in found.group(1, 2))
        # Days are counted on the calendar of the zone: one of them may have 23 hours.
        return zone, (first.astimezone(UTC), (last + timedelta(days=1)).astimezone(UTC))
    except (ValueError, OverflowError):  # such as 2026-02-31, or the end of 9999-12-31
        return zone, (None, None)
