"""What is known of a Stripe file beside its rows: whose it is, live or test, and which span of time it
covers.

A row does not say which filters made its file. Our own pull writes that into a hidden sidecar beside the
file; a file from Stripe's Dashboard has its days in its name; folders below the report type may name the
account and the mode.
"""

import posixpath
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from pydantic import TypeAdapter

from ingestion.landing.area import Landing, LandingFile
from ingestion.readers.inspection import UnreadableFileError
from ingestion.sources.stripe.reports import BALANCE_SUMMARY, StripeReport, owner_of, report_folder
from ingestion.sources.stripe.windows import Span
from ingestion.validation import reject_codes
from paywall_warehouse.currencies import iso_4217

DEFAULT_ACCOUNT: Final = "default"
SIDECAR: Final = ".run.json"
# One of ours has less than 2 kB.
MAX_SIDECAR_BYTES: Final = 64 << 10
# As the Dashboard names its downloads: Balance_Summary_USD_2026-10-01_to_2026-10-31_America-Toronto.csv, both
# days included. What is cut off, or put behind the zone, leaves the days without one.
DAYS_IN_NAME: Final = re.compile(r"(\d{4}-\d{2}-\d{2})_to_(\d{4}-\d{2}-\d{2})(?:_([A-Za-z][A-Za-z0-9+_-]*))?")
# In front of the days, where only the rows of one balance were asked for.
CURRENCY_IN_NAME: Final = re.compile(r"(?:^|[_ -])([A-Z]{3})_\d{4}-\d{2}-\d{2}_to_")
ENDING: Final = re.compile(r"\.(jsonl|csv|parquet)(\.(gz|zst))?$", re.IGNORECASE)
# As our own pull names a file, whose spans and times are in UTC.
PULLED: Final = re.compile(r"\d{8}T\d{6}Z-\d{8}T\d{6}Z(-frr_\w+)?\.csv")
STATE_THE_ZONE: Final = (
    "keep the name that Stripe gives the file (…_2026-10-01_to_2026-10-31_Europe-Berlin.csv), or end the name"
    " with the zone, such as october_UTC.csv or october_Europe-Berlin.csv"
)


@dataclass(frozen=True)
class FileFacts:
    """What holds for every row of a file. `covered_from` and `covered_until` (exclusive) are None where
    nobody says.
    """

    report_type: str
    account_id: str
    livemode: bool
    covered_from: datetime | None
    covered_until: datetime | None
    timezone: str | None
    """IANA name of the zone of times that are not marked as UTC; None where nobody says."""
    covered_currency: str | None = None
    """The only currency whose rows the file has; None where it was made for all."""


@dataclass(frozen=True)
class Sidecar:
    """What our pull writes beside a file: how it was made. `parameters` are those of the report run, spans in
    Unix seconds.
    """

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
        start, end = (
            datetime.fromtimestamp(self.parameters[name], UTC) for name in ("interval_start", "interval_end")
        )
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
        sidecar = TypeAdapter(Sidecar).validate_json(
            landing.beginning(location, MAX_SIDECAR_BYTES), strict=True
        )
        is_ours = bool(sidecar.span) and datetime.fromisoformat(sidecar.available_until).tzinfo is not None
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None
    return sidecar if is_ours else None


def facts_of(landing: Landing, file: LandingFile) -> FileFacts:
    """Return what the sidecar says of a file, else what the names of its folders and the file itself say.

    Raises `UnreadableFileError` for a balance summary whose name states days of an unknown zone: it says
    nothing without its span.
    """
    folders = file.path.split("/")[2:-1]
    account = next((name for name in folders if name.startswith("acct_")), DEFAULT_ACCOUNT)
    livemode = "test" not in folders
    stripe_report = owner_of(file.path)
    span: Span | None
    currency = named_currency(file.path)
    folder, name = posixpath.split(file.location)
    if sidecar := read_sidecar(landing, f"{folder}/{sidecar_name(name)}"):
        account, livemode, span = sidecar.account or account, sidecar.livemode, sidecar.span
        timezone = _known_zone(str(sidecar.parameters.get("timezone", "UTC")))
        currency = sidecar.parameters.get("currency")
    else:
        timezone = _named_zone(file.path) if stripe_report.is_report else "UTC"
        span = _named_span(file.path, timezone)
        if stripe_report is BALANCE_SUMMARY and timezone is None and DAYS_IN_NAME.search(file.path):
            raise UnreadableFileError(
                reject_codes.UNKNOWN_TIME_ZONE,
                f"its name states the days that it sums up, in no known time zone; {STATE_THE_ZONE}",
            )
    start, end = span or (None, None)
    return FileFacts(
        report_folder(file.path),
        account,
        livemode,
        start,
        end,
        timezone,
        str(currency).lower() if currency else None,
    )


def named_currency(path: str) -> str | None:
    """Return the currency that a Dashboard download's name states, in lower case; None where it states none.

    Only a currency of ISO 4217 counts: `Report_NEW_2026-…` is no file of one currency. `ALL` is no lek there,
    since Stripe holds no balances in it.
    """
    found = CURRENCY_IN_NAME.search(posixpath.basename(path))
    return found[1].lower() if found and found[1] != "ALL" and found[1].lower() in iso_4217() else None


def unknown_time_zone(stripe_report: StripeReport) -> UnreadableFileError:
    """Return why a file is refused whose deciding times are stated in an unknown zone."""
    (column,) = (column for column in stripe_report.columns if column.decides)
    stated = " or ".join(f'"{name}"' for name in column.stated_as if name not in column.utc_names)
    requested = " or ".join(f'"{name}"' for name in column.utc_names)
    return UnreadableFileError(
        reject_codes.UNKNOWN_TIME_ZONE,
        f"its times ({stated}) are in a zone that neither its name nor a sidecar states;"
        f" request the column {requested}, or {STATE_THE_ZONE}",
    )


def _named_zone(path: str) -> str | None:
    """Return the zone that a file's name states: behind its days, or at its end."""
    name = posixpath.basename(path)
    if PULLED.fullmatch(name):
        return "UTC"
    if (found := DAYS_IN_NAME.search(name)) and found[3]:
        return _known_zone(found[3])
    stem = ENDING.sub("", name)
    at_end = (_known_zone(stem[place + 1 :]) for place, letter in enumerate(stem) if letter == "_")
    # A zone without a place, such as GB or CET, may mean anything else in a name that somebody gave a file.
    return next((zone for zone in at_end if zone is not None and ("/" in zone or zone == "UTC")), None)


def _known_zone(stated: str) -> str | None:
    """Return the IANA name; in names of files slashes are dashes: America-Argentina-Buenos_Aires,
    Etc-GMT-1.
    """
    spellings = (stated.replace("-", "/"), stated.replace("-", "/", 1), stated)
    return next((name for name in spellings if name in available_timezones()), None)


def _named_span(path: str, timezone: str | None) -> Span | None:
    """Return the span of the days in a file's name; None without days, or where nobody says in which zone
    they are counted.
    """
    found = DAYS_IN_NAME.search(posixpath.basename(path))
    if found is None or timezone is None:
        return None
    try:
        first, last = (
            datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(timezone)) for day in found.group(1, 2)
        )
        # Days are counted on the calendar of the zone: one of them may have 23 hours.
        return first.astimezone(UTC), (last + timedelta(days=1)).astimezone(UTC)
    except (ValueError, OverflowError):  # such as 2026-02-31, or the end of 9999-12-31
        return None
