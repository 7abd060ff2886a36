"""The facts of a Stripe file that its rows do not state: its account, live or test mode, and the span of time
that it covers.

A row does not state which filters produced its file. A pull writes them to a hidden sidecar beside the file.
A file from Stripe's Dashboard has its days in its name. Folders below the report type may name the account
and the mode.
"""

import posixpath
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from ingestion.landing.area import Landing, LandingFile
from ingestion.pulls.sidecars import read_sidecar, sidecar_name
from ingestion.pulls.windows import Span
from ingestion.readers.layout import UnreadableFileError
from ingestion.sources.stripe.reports import BALANCE_SUMMARY, StripeReport, owner_of, report_folder
from ingestion.validation import reject_codes
from paywall_warehouse.currencies import iso_4217
from paywall_warehouse.settings import known_timezones

DEFAULT_ACCOUNT: Final = "default"
# The Dashboard names a download Balance_Summary_USD_2026-10-01_to_2026-10-31_America-Toronto.csv, both days
# included. If the zone is cut off, or text is added to it, the days have no zone.
DAYS_IN_NAME: Final = re.compile(r"(\d{4}-\d{2}-\d{2})_to_(\d{4}-\d{2}-\d{2})(?:_([A-Za-z][A-Za-z0-9+_-]*))?")
# The currency is before the days if only the rows of one balance were requested.
CURRENCY_IN_NAME: Final = re.compile(r"(?:^|[_ -])([A-Z]{3})_\d{4}-\d{2}-\d{2}_to_")
ENDING: Final = re.compile(r"\.(jsonl?|csv|parquet)(\.(gz|zst))?$", re.IGNORECASE)
# The name of a pulled file, whose spans and times are in UTC.
PULLED: Final = re.compile(r"\d{8}T\d{6}Z-\d{8}T\d{6}Z(-frr_\w+)?\.csv")
STATE_THE_ZONE: Final = (
    "keep the name that Stripe gives the file (…_2026-10-01_to_2026-10-31_Europe-Berlin.csv), or end the name"
    " with the zone, such as october_UTC.csv or october_Europe-Berlin.csv"
)


@dataclass(frozen=True)
class FileFacts:
    """Facts that hold for every row of a file. `covered_from` and `covered_until` (exclusive) are None if
    unknown.
    """

    report_type: str
    account_id: str
    livemode: bool
    covered_from: datetime | None
    covered_until: datetime | None
    timezone: str | None
    """The IANA name of the zone of times that are not marked as UTC; None if unknown."""
    covered_currency: str | None = None
    """The only currency whose rows the file has; None if it has all currencies."""


@dataclass(frozen=True)
class Sidecar:
    """The file that a pull writes beside a report: how the report was produced.

    `parameters` are those of the report run, with spans in Unix seconds.
    """

    report_type: str
    parameters: dict[str, Any]
    livemode: bool
    """Whether the rows are live."""
    key_livemode: bool
    """Whether the API key that pulled them is live."""
    account: str | None
    available_until: str
    """The end of Stripe's data at the time of the request, ISO 8601."""
    sha256: str
    bytes: int
    downloaded_at: str
    id: str | None = None
    """The report run; Checkout Sessions have none."""

    @property
    def span(self) -> Span:
        """Return the span that the file covers."""
        start, end = (
            datetime.fromtimestamp(self.parameters[name], UTC) for name in ("interval_start", "interval_end")
        )
        return start, end


def read_report_sidecar(landing: Landing, location: str) -> Sidecar | None:
    """Return the sidecar at a location; None if there is none, or it is not one that a pull wrote."""
    sidecar = read_sidecar(landing, location, Sidecar)
    try:
        is_ours = (
            sidecar is not None
            and bool(sidecar.span)
            and datetime.fromisoformat(sidecar.available_until).tzinfo is not None
        )
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return sidecar if is_ours else None


def facts_of(landing: Landing, file: LandingFile) -> FileFacts:
    """Return the facts of a file from its sidecar, or else from the names of its folders and the file.

    Raises `UnreadableFileError` for a balance summary whose name states days of an unknown zone, because it
    is useless without its span.
    """
    folders = file.path.split("/")[2:-1]
    account = next((name for name in folders if name.startswith("acct_")), DEFAULT_ACCOUNT)
    livemode = "test" not in folders
    stripe_report = owner_of(file.path)
    span: Span | None
    currency = named_currency(file.path)
    folder, name = posixpath.split(file.location)
    if sidecar := read_report_sidecar(landing, f"{folder}/{sidecar_name(name)}"):
        account, livemode, span = sidecar.account or account, sidecar.livemode, sidecar.span
        timezone = _known_zone(str(sidecar.parameters.get("timezone", "UTC")))
        currency = sidecar.parameters.get("currency")
    else:
        timezone = _named_zone(file.path) if stripe_report.is_report else "UTC"
        span = _named_span(file.path, timezone)
        if stripe_report is BALANCE_SUMMARY and timezone is None and DAYS_IN_NAME.search(file.path):
            raise UnreadableFileError(
                reject_codes.UNKNOWN_TIME_ZONE,
                f"its name states the days that it covers without a known time zone; {STATE_THE_ZONE}",
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
    """Return the currency in the name of a Dashboard download, in lower case; None if it has none.

    Only a currency of ISO 4217 counts: `Report_NEW_2026-…` is not a file of one currency. `ALL` means all
    currencies, not the lek, in which Stripe holds no balances.
    """
    found = CURRENCY_IN_NAME.search(posixpath.basename(path))
    return found[1].lower() if found and found[1] != "ALL" and found[1].lower() in iso_4217() else None


def unknown_time_zone(stripe_report: StripeReport) -> UnreadableFileError:
    """Return the error for a file whose deciding times are in an unknown zone."""
    (column,) = (column for column in stripe_report.columns if column.decides)
    stated = " or ".join(f'"{name}"' for name in column.stated_as if name not in column.utc_names)
    requested = " or ".join(f'"{name}"' for name in column.utc_names)
    return UnreadableFileError(
        reject_codes.UNKNOWN_TIME_ZONE,
        f"its times ({stated}) are in a zone that neither its name nor a sidecar states;"
        f" request the column {requested}, or {STATE_THE_ZONE}",
    )


def _named_zone(path: str) -> str | None:
    """Return the zone in a file's name: after its days, or at its end."""
    name = posixpath.basename(path)
    if PULLED.fullmatch(name):
        return "UTC"
    if (found := DAYS_IN_NAME.search(name)) and found[3]:
        return _known_zone(found[3])
    stem = ENDING.sub("", name)
    at_end = (_known_zone(stem[place + 1 :]) for place, letter in enumerate(stem) if letter == "_")
    # A zone without a place, such as GB or CET, may mean something else in a name that a person chose.
    return next((zone for zone in at_end if zone is not None and ("/" in zone or zone == "UTC")), None)


def _known_zone(stated: str) -> str | None:
    """Return the IANA name of a zone. File names have dashes instead of slashes, as in
    America-Argentina-Buenos_Aires and Etc-GMT-1.
    """
    spellings = (stated.replace("-", "/"), stated.replace("-", "/", 1), stated)
    return next((name for name in spellings if name in known_timezones()), None)


def _named_span(path: str, timezone: str | None) -> Span | None:
    """Return the span of the days in a file's name; None without days or if their zone is unknown."""
    found = DAYS_IN_NAME.search(posixpath.basename(path))
    if found is None or timezone is None:
        return None
    try:
        first, last = (
            datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(timezone)) for day in found.group(1, 2)
        )
        # Days are counted on the calendar of the zone, where a day may have 23 hours.
        return first.astimezone(UTC), (last + timedelta(days=1)).astimezone(UTC)
    except (ValueError, OverflowError):  # such as 2026-02-31, or the end of 9999-12-31
        return None
