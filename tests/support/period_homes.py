"""Homes whose months are closed and reopened, and what their journal should be."""

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb

from ingestion.lake.period_acts import Act, closed_months, read_acts
from paywall_warehouse.home import Home
from paywall_warehouse.settings import load_settings
from tests.support.builders import Record, charge, deposit, land, ledger_file
from tests.support.harness import publish_home
from warehouse.closing import close_month, reopen_month

AS_OF: Final = "2026-12-05"
# journal_date, journal, account, debit, credit, relates_to_date; all in usd.
Line = tuple[str, str, str, str, str, str]


def month(text: str) -> date:
    """The first day of a month such as `2026-10`."""
    return date.fromisoformat(f"{text}-01")


def close(home: Path, text: str, by: str = "Ann", note: str | None = None, **settings: Any) -> Act:
    """Close a month without publishing it."""
    return close_month(_settings(home, settings), month(text), by, note)


def reopen(home: Path, text: str, by: str = "Ann", reason: str = "late bill", **settings: Any) -> Act:
    """Reopen a month without publishing it."""
    return reopen_month(_settings(home, settings), month(text), by, reason)


def _settings(home: Path, settings: dict[str, Any]) -> Any:
    return load_settings(_env_file=None, warehouse_home=home, **{"as_of": AS_OF, **settings})


def publish(home: Path, **settings: Any) -> None:
    """Load, build, check and publish."""
    publish_home(home, **{"as_of": AS_OF, **settings})


def land_entries(home: Path, name: str, entries: Iterable[Record]) -> None:
    """Land ledger entries."""
    land(home, [ledger_file(f"{name}.jsonl", list(entries))])


def ask(home: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of the published file."""
    with duckdb.connect(str(Home(home).published_file), read_only=True) as connection:
        return connection.execute(query).fetchall()


def journal(home: Path, where: str = "true") -> list[Line]:
    """Lines of the published journal, amounts without trailing zeros."""
    rows = ask(
        home,
        f"""select journal_date::varchar, journal, account, debit, credit, relates_to_date::varchar
        from marts.fct_journal_lines where {where} order by all""",
    )
    return sorted((day, name, account, short(d), short(c), about) for day, name, account, d, c, about in rows)


def nets(home: Path) -> dict[tuple[str, str, str], Decimal]:
    """What all lines about a day add up to, by account, currency and day, where it is not 0."""
    return {
        (account, currency, day): amount
        for account, currency, day, amount in ask(
            home,
            """select account, currency, relates_to_date::varchar, sum(debit - credit)
            from marts.fct_journal_lines group by all having sum(debit - credit) <> 0""",
        )
    }


def closed_lines(home: Path) -> list[str]:
    """Every column of the published lines of closed months, as text."""
    rows = ask(
        home,
        """select columns(*)::varchar from marts.fct_journal_lines
        where journal_date < (
            select max(month_start) + interval 1 month from ops.periods where status = 'closed'
        )""",
    )
    return sorted(",".join(row) for row in rows)


def booked_in_the_lake(home: Path) -> list[str]:
    """The booked lines of the months that are closed."""
    return sorted(line for act in closed_months(read_acts(Home(home))) for line in act.lines)


def short(amount: Decimal) -> str:
    """An amount without trailing zeros."""
    return f"{amount.normalize():f}"


@dataclass
class ExpectedJournal:
    """The journal of one wallet with paid deposits and charges that these always cover, computed line by line
    in Decimal.
    """

    entries: dict[str, Record] = field(default_factory=dict)
    booked: dict[date, list[Line]] = field(default_factory=dict)
    """By closed month."""

    def restated(self) -> dict[tuple[str, str, str], Decimal]:
        """Debits less credits, by day, journal and account."""
        found: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
        for one in self.entries.values():
            if one.get("status", "settled") != "settled":
                continue
            day, amount = one["timestamp"][:10], Decimal(one["amount"])
            debit, credit, name = (
                ("clearing", "deferred_revenue", "receipts")
                if one["type"] == "deposit"
                else ("deferred_revenue", "usage_revenue", "usage")
            )
            found[day, name, debit] += amount
            found[day, name, credit] -= amount
        return found

    def lines(self) -> list[Line]:
        """The journal as it should be published."""
        booked = [line for lines in self.booked.values() for line in lines]
        if not self.booked:
            return sorted(
                _line(day, day, *rest)
                for (day, *rest), amount in self._nonzero()
                for rest in [(*rest, amount)]
            )
        first_open = _after(max(self.booked)).isoformat()
        differences: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
        open_lines = []
        for (day, name, account), amount in self._nonzero():
            if day < first_open:
                differences[day, name, account] += amount
            else:
                open_lines.append(_line(day, day, name, account, amount))
        for _, name, account, debit, credit, about in booked:
            differences[about, name, account] -= Decimal(debit) - Decimal(credit)
        adjustments = [
            _line(first_open, day, name, account, amount)
            for (day, name, account), amount in differences.items()
            if amount
        ]
        return sorted([*booked, *adjustments, *open_lines])

    def close(self) -> date:
        """Book the next month and return it."""
        closing = self.next_month()
        following = _after(closing).isoformat()
        self.booked[closing] = [line for line in self.lines() if closing.isoformat() <= line[0] < following]
        return closing

    def reopen(self) -> date:
        """Take back the last close and return its month."""
        last = max(self.booked)
        del self.booked[last]
        return last

    def next_month(self) -> date:
        """The month that is closed next."""
        if self.booked:
            return _after(max(self.booked))
        first = min(day for (day, _, _), _ in self._nonzero())
        return date.fromisoformat(first).replace(day=1)

    def _nonzero(self) -> list[tuple[tuple[str, str, str], Decimal]]:
        return [(key, amount) for key, amount in self.restated().items() if amount]


def _line(day: str, about: str, name: str, account: str, amount: Decimal) -> Line:
    debit, credit = (amount, Decimal(0)) if amount > 0 else (Decimal(0), -amount)
    return day, name, account, short(debit), short(credit), about


def _after(closing: date) -> date:
    return (closing + timedelta(days=31)).replace(day=1)


class RandomLedger:
    """A ledger into which entries and later versions of entries of any day land."""

    def __init__(self, seed: int, expected: ExpectedJournal) -> None:
        self.chance = random.Random(seed)
        self._expected = expected
        self._versions = 0

    def first(self) -> list[Record]:
        """The deposit that covers all charges, and the first charges."""
        return self._known([deposit("d0", "2026-08-15T00:00:00Z", "1000000")]) + self.more()

    def more(self) -> list[Record]:
        """A few charges, changed ones, failed ones, and sometimes a deposit of July, before all others."""
        new = [
            charge(f"c{self._next()}", self._at(), self._amount()) for _ in range(self.chance.randrange(1, 4))
        ]
        charges = [one for one in self._expected.entries.values() if one["type"] == "charge"]
        for known in self.chance.sample(charges, min(3, len(charges))):
            new.append(
                known
                | {
                    "updated_at": f"2027-01-01T00:{self._next() // 60:02d}:{self._versions % 60:02d}Z",
                    "amount": self._amount(),
                    "status": self.chance.choice(("settled", "settled", "failed")),
                }
            )
        if self.chance.random() < 0.2:
            new.append(deposit(f"d{self._next()}", "2026-07-20T12:00:00Z", self._amount()))
        return self._known(new)

    def _known(self, new: list[Record]) -> list[Record]:
        self._expected.entries |= {one["id"]: one for one in new}
        return new

    def _next(self) -> int:
        self._versions += 1
        return self._versions

    def _at(self) -> str:
        day = date(2026, 8, 15) + timedelta(days=self.chance.randrange(110))
        return f"{day}T{self.chance.randrange(24):02d}:30:00Z"

    def _amount(self) -> str:
        return f"{self.chance.randrange(5)}.{self.chance.choice(('5', '000000000001', '25', '0'))}"
