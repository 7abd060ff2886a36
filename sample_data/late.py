"""An entry of the sample's second month that lands late: if the month is closed, it becomes an adjustment."""

import csv
import json
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from pathlib import Path

from sample_data.formats import rfc3339
from sample_data.land import put
from sample_data.statements import HOUR
from sample_data.world import EURO, Calendar

NAME = "ledger/late-entry-of-the-sample.jsonl"
"""Not `sample-…`: only what belongs to a whole sample has such a name."""
AMOUNT = "0.50"


@dataclass(frozen=True, slots=True)
class LateEntry:
    """An entry that has not landed yet."""

    path: Path
    content: bytes
    day: date
    """The day that it is about."""
    months: tuple[date, date]
    """The first days of the sample's first two months. The entry is of the second one."""

    def land(self) -> str:
        """Land the entry, and return what was landed."""
        put(self.path, self.content)
        first, second = (f"{month:%Y-%m}" for month in self.months)
        return (
            f"{first} and {second} of the sample are closed. Then an entry landed late: {AMOUNT} eur of"
            f" {self.day}, which becomes an adjustment."
        )


def late_entry(landing: Path, zone: tzinfo) -> LateEntry:
    """Return the late entry of the sample that is in the landing area, with paid credit for the first wallet
    of the euro ledger.
    """
    ledger = next((landing / "ledger").glob("sample-*-eu.csv"))
    last_day = date.fromisoformat(ledger.name.removesuffix("-eu.csv").rpartition("_")[2])
    calendar = Calendar(last_day, zone)
    first = calendar.first_day.replace(day=1)
    second = next_month(first)
    day = next_month(second) - timedelta(days=1)
    with ledger.open(encoding="utf-8", newline="") as file:
        user = next(csv.DictReader(file))["user"]
    entry = {
        "id": "act_sample_late",
        "timestamp": rfc3339(calendar.starts((day - calendar.first_day).days) + 12 * HOUR),
        "updated_at": rfc3339(calendar.ends),
        "type": "adjustment",
        "user": user,
        "paywall": EURO.id,
        "amount": AMOUNT,
        "currency": EURO.currency,
        "metadata": {"reason": "transfer_booked_late", "funding": "paid"},
    }
    return LateEntry(landing / NAME, f"{json.dumps(entry)}\n".encode(), day, (first, second))


def next_month(first: date) -> date:
    """Return the first day of the month after that of `first`."""
    return (first.replace(day=1) + timedelta(days=31)).replace(day=1)
