"""Pulls that failed without stopping their run: one small file each, until the same source is pulled again.

A build shows them as `ops.failed_pulls`, because the numbers are incomplete without their data.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from paywall_warehouse.files import replace_text
from paywall_warehouse.home import Home

SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class FailedPull:
    """A source that could not be pulled, and the reason, which does not contain a key or a password."""

    source: str
    """The name in `ops.loaded_files`, such as `stripe/payouts.itemized`."""
    failed_at: datetime
    reason: str


def note_failure(home: Home, source: str, failed_at: datetime, reason: str) -> FailedPull:
    """Write down that a pull failed, with the reason in one line."""
    line = " ".join(reason.split())
    shown = line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]}…"
    failure = FailedPull(source, failed_at, shown)
    forget_failure(home, source)
    replace_text(
        _folder(home) / f"{source.replace('/', '-')}.json",
        json.dumps(asdict(failure) | {"failed_at": failed_at.isoformat()}),
    )
    return failure


def forget_failure(home: Home, source: str) -> None:
    """Remove the failure of a source that was pulled, or is no longer requested."""
    # By content: earlier versions gave the files other names.
    for file, failure in _noted(home):
        if failure.source == source:
            file.unlink(missing_ok=True)


def failed_pulls(home: Home) -> list[FailedPull]:
    """Return the sources whose last pull failed, by name."""
    return sorted((failure for _, failure in _noted(home)), key=lambda failure: failure.source)


def _noted(home: Home) -> Iterator[tuple[Path, FailedPull]]:
    for file in sorted(_folder(home).glob("*.json")):
        text = json.loads(file.read_text(encoding="utf-8"))
        yield file, FailedPull(**(text | {"failed_at": datetime.fromisoformat(text["failed_at"])}))


def _folder(home: Home) -> Path:
    return home.root / "state" / "failed_pulls"
