"""The ledgers of the benchmarks, and the nights after them: new entries, and late versions of older ones."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.make_ledger import SQL
from benchmarks.measure import DATA
from paywall_warehouse.duckdb_connections import open_duckdb

MAKE_LEDGER = Path(__file__).parent / "make_ledger.py"
ENDS_AT = datetime(2026, 10, 1, tzinfo=UTC)
DAYS, USERS = 365, 50_000
LATE_SHARE = 0.02
NIGHT_FILES = 4

LATE_SQL = """
with latest as (from ({entries}) qualify row_number() over (partition by id order by updated_at desc) = 1),
numbered as (select *, row_number() over (order by id) as n from latest)
select * exclude (n) replace (
    strftime(timestamp '{at}' + to_microseconds(n), '%Y-%m-%dT%H:%M:%S.%fZ') as updated_at,
    case n % 2 when 0 then 'failed' else status end as status,
    case n % 2 when 1 then cast(cast(amount as decimal(38,12)) + 0.000001 as varchar) else amount end
        as amount
)
from numbered order by id
"""


@dataclass(frozen=True)
class Ledger:
    """A history of entries, spread evenly over some days. All histories end at the same instant."""

    entries: int
    days: int = DAYS

    @property
    def starts_at(self) -> datetime:
        """The instant of entry 0."""
        return ENDS_AT - timedelta(days=self.days)

    def instant(self, entry: int) -> datetime:
        """Return the time of an entry. Entries after the history continue at its pace."""
        return self.starts_at + timedelta(days=self.days) / self.entries * entry

    @property
    def as_of(self) -> datetime:
        """An instant on the history's last day, so that the last 30 days have rows."""
        return ENDS_AT - timedelta(seconds=1)

    @property
    def landing(self) -> Path:
        """The landing area of this history."""
        return DATA / (f"{self.entries}" if self.days == DAYS else f"{self.entries}-{self.days}-days")

    def make(self) -> Path:
        """Write the history if it does not exist, and return its landing area."""
        if not self.landing.exists():
            partial = self.landing.with_name(f".{self.landing.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            self._make_ledger(partial / "ledger", "--entries", str(self.entries))
            partial.rename(self.landing)
        return self.landing

    def link(self, landing: Path) -> None:
        """Land the history in another landing area, by links instead of copies."""
        (landing / "ledger").mkdir(parents=True)
        for file in sorted((self.make() / "ledger").iterdir()):
            os.link(file, landing / "ledger" / file.name)

    def _make_ledger(self, folder: Path, *arguments: str) -> None:
        # `--total`, so that later entries continue the time axis instead of stretching it.
        axis = [
            "--days",
            str(self.days),
            "--start",
            f"{self.starts_at:%Y-%m-%d}",
            "--total",
            str(self.entries),
            "--users",
            str(USERS),
        ]
        subprocess.run([sys.executable, str(MAKE_LEDGER), str(folder), *axis, *arguments], check=True)

    def land_night(self, landing: Path, offset: int, entries: int, late_days: int) -> "Night":
        """Land a night's entries after the first `offset` ones of this ledger.

        2 % of them are late versions: entries of the last `late_days` days before the night, evenly spread,
        stated again at its end. Every second one is then failed, the others have another amount.
        """
        late = round(entries * LATE_SHARE)
        night = Night(offset, entries - late, late, self.instant(offset + entries - late))
        arguments = ("--offset", str(offset), "--entries", str(night.new), "--files", str(NIGHT_FILES))
        self._make_ledger(landing / "ledger", *arguments)
        if late:
            target = landing / "ledger" / f"late-{offset:012d}.jsonl"
            with open_duckdb() as connection:
                connection.execute(f"copy ({self.late_sql(night, late_days)}) to '{target}' (format json)")
        return night

    def late_sql(self, night: "Night", late_days: int) -> str:
        """Return the query of a night's late versions."""
        window = min(max(round(late_days * self.entries / self.days), night.late), night.offset)
        first, stride = night.offset - window, window // night.late
        last = first + stride * night.late
        step = self.days * 86_400_000_000 / self.entries
        # `{hi}` ends DuckDB's `range(lo, hi)`. With a stride, it generates only the wanted rows.
        entries = SQL.format(
            lo=first, hi=f"{last}, {stride}", start=f"{self.starts_at:%Y-%m-%d}", step=step, users=USERS
        )
        return LATE_SQL.format(entries=entries, at=f"{night.ends_at:%Y-%m-%d %H:%M:%S.%f}")


@dataclass(frozen=True)
class Night:
    """The entries that landed in one night."""

    offset: int
    """The number of entries before the night."""
    new: int
    late: int
    ends_at: datetime

    @property
    def entries(self) -> int:
        """The number of new entries and late versions."""
        return self.new + self.late

    @property
    def next_offset(self) -> int:
        """The number of entries after the night."""
        return self.offset + self.new

    @property
    def as_of(self) -> datetime:
        """The instant just after the last version."""
        return self.ends_at + timedelta(seconds=1)
