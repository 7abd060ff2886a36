"""What a receiver has done, in a small file that the dashboard reads.

The file has counts, times and types of events. It has no secret and nothing of a request's body or headers,
and its size does not depend on the requests. It is written every `WRITE_EVERY_SECONDS`, so that no flood of
requests makes it be written more often.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paywall_warehouse.files import replace_text

WRITE_EVERY_SECONDS = 10.0
# More than any file that `Report` writes.
MAX_BYTES = 64 << 10
# Why a request is refused. The dashboard explains each of them (dashboard/receiver_help.py).
UNSIGNED, WRONG_SIGNATURE, TOO_OLD, EMPTY = "unsigned", "wrong_signature", "too_old", "empty"
TOO_LARGE, COMPRESSED, TOO_SLOW, TOO_MANY, LONG_HEADERS = (
    "too_large",
    "compressed",
    "too_slow",
    "too_many",
    "long_headers",
)
REASONS = (
    UNSIGNED,
    WRONG_SIGNATURE,
    TOO_OLD,
    EMPTY,
    TOO_LARGE,
    COMPRESSED,
    TOO_SLOW,
    TOO_MANY,
    LONG_HEADERS,
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refusals:
    """The refused requests of one reason."""

    count: int
    last_at: datetime


@dataclass(frozen=True)
class ReceiverState:
    """The state of a receiver as its file describes it. Counts begin with its start."""

    started_at: datetime
    written_at: datetime
    stopped_at: datetime | None
    """None while it runs, and if it was killed."""
    can_write: bool
    """Whether the last deliveries could be stored."""
    stored: int
    repeated: int
    failed: int
    last_delivery_at: datetime | None
    """The last acknowledged delivery, also of an earlier receiver."""
    last_event_type: str | None
    refused: Mapping[str, Refusals]
    """By reason."""


class Report:
    """Counts what a receiver does, and keeps the counts in a file. Without a file it only counts."""

    def __init__(self, file: Path | None = None) -> None:
        self.counts: Counter[str] = Counter(stored=0, repeated=0, refused=0, failed=0)
        self._file = file
        self._refused: dict[str, Refusals] = {}
        self._started_at = datetime.now(UTC)
        self._last_delivery_at: datetime | None = None
        self._last_event_type: str | None = None
        self._is_faulty = False
        self._ending = asyncio.Event()
        try:
            before = read_state(file) if file else None
        except (OSError, ValueError):
            before = None
        if before is not None:
            self._last_delivery_at, self._last_event_type = before.last_delivery_at, before.last_event_type

    def delivered(self, event_type: str | None, *, is_new: bool) -> None:
        """Count an acknowledged delivery."""
        self.counts["stored" if is_new else "repeated"] += 1
        self._last_delivery_at, self._last_event_type = datetime.now(UTC), event_type

    def failed(self) -> None:
        """Count a delivery that could not be stored."""
        self.counts["failed"] += 1

    def refused(self, reason: str) -> None:
        """Count a refused request."""
        self.counts["refused"] += 1
        before = self._refused.get(reason)
        self._refused[reason] = Refusals(before.count + 1 if before else 1, datetime.now(UTC))

    async def keep(self, can_write: Callable[[], bool]) -> None:
        """Write the file again and again until `end` is called, and then a last time."""
        while not self._ending.is_set():
            await self._write(self._text(can_write=can_write()))
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITE_EVERY_SECONDS):
                    await self._ending.wait()
        await self._write(self._text(can_write=can_write(), stopped_at=datetime.now(UTC)))

    def end(self) -> None:
        """Let `keep` return."""
        self._ending.set()

    async def _write(self, text: str) -> None:
        """Write the file. A fault does not concern deliveries, so that it is only logged, and only once."""
        if self._file is None:
            return
        try:
            await asyncio.to_thread(replace_text, self._file, text)
            self._is_faulty = False
        except OSError as error:
            if not self._is_faulty:
                log.warning("the receiver's state cannot be written for the dashboard: %s", error)
            self._is_faulty = True

    def _text(self, *, can_write: bool, stopped_at: datetime | None = None) -> str:
        state = {
            "started_at": _iso(self._started_at),
            "written_at": _iso(datetime.now(UTC)),
            "stopped_at": _iso(stopped_at),
            "can_write": can_write,
            **{name: self.counts[name] for name in ("stored", "repeated", "failed")},
            "last_delivery_at": _iso(self._last_delivery_at),
            "last_event_type": self._last_event_type,
            "refused": {
                reason: {"count": one.count, "last_at": _iso(one.last_at)}
                for reason, one in self._refused.items()
            },
        }
        return json.dumps(state, indent=1) + "\n"


def read_state(file: Path) -> ReceiverState | None:
    """Return the state that a receiver has written, None if there is no file.

    Raises `OSError` if the file cannot be read, and `ValueError` if it is not such a file.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(content) > MAX_BYTES:
        raise ValueError(f"{file} has more than {MAX_BYTES} bytes")
    try:
        return _state(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{file} is not a receiver's state: {error!r}") from None


def _state(stated: Mapping[str, Any]) -> ReceiverState:
    event_type = stated["last_event_type"]
    return ReceiverState(
        started_at=_instant(stated["started_at"]),
        written_at=_instant(stated["written_at"]),
        stopped_at=_instant_or_none(stated["stopped_at"]),
        can_write=bool(stated["can_write"]),
        stored=int(stated["stored"]),
        repeated=int(stated["repeated"]),
        failed=int(stated["failed"]),
        last_delivery_at=_instant_or_none(stated["last_delivery_at"]),
        last_event_type=None if event_type is None else str(event_type).encode(errors="replace").decode(),
        refused={
            reason: Refusals(int(one["count"]), _instant(one["last_at"]))
            for reason, one in stated["refused"].items()
            if reason in REASONS
        },
    )


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds")


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _instant_or_none(text: str | None) -> datetime | None:
    return None if text is None else _instant(text)
