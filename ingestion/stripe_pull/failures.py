"""Pulls that failed without stopping their run: one small file each, until the same report is pulled again.

A build shows them as `ops.failed_pulls`, because the reconciliation is incomplete without their data.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from ingestion.sources.stripe.reports import FOLDER, StripeReport
from paywall_warehouse.files import replace_text
from paywall_warehouse.home import Home

SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class FailedPull:
    """A source that could not be pulled, and the reason, which does not contain the API key."""

    source: str
    """The name in `ops.loaded_files`, such as `stripe/payouts.itemized`."""
    failed_at: datetime
    reason: str


def source_of(stripe_report: StripeReport) -> str:
    """Return the name of a report's source."""
    return f"{FOLDER}/{stripe_report.name}"


def note_failure(home: Home, stripe_report: StripeReport, failed_at: datetime, reason: str) -> FailedPull:
    """Write down that a pull failed, with the reason in one line."""
    line = " ".join(reason.split())
    shown = line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]}…"
    failure = FailedPull(source_of(stripe_report), failed_at, shown)
    replace_text(
        _path(home, stripe_report.name), json.dumps(asdict(failure) | {"failed_at": failed_at.isoformat()})
    )
    return failure


def forget_failure(home: Home, stripe_report: StripeReport) -> None:
    """Remove the failure of a report that was pulled, or is no longer requested."""
    _path(home, stripe_report.name).unlink(missing_ok=True)


def failed_pulls(home: Home) -> list[FailedPull]:
    """Return the sources whose last pull failed, by name."""
    texts = (json.loads(file.read_text(encoding="utf-8")) for file in sorted(_folder(home).glob("*.json")))
    return [FailedPull(**(text | {"failed_at": datetime.fromisoformat(text["failed_at"])})) for text in texts]


def _folder(home: Home) -> Path:
    return home.root / "state" / "failed_pulls"


def _path(home: Home, name: str) -> Path:
    return _folder(home) / f"{name}.json"
