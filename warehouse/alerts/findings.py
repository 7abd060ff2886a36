"""What a rule finds: the scopes in which it holds at present."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import duckdb

from paywall_warehouse.home import Home
from paywall_warehouse.quoting import printable
from warehouse.checks.invariant import EXACT, exact_text
from warehouse.runs import Run

SCOPE_CHARACTERS = 400


@dataclass(frozen=True)
class Finding:
    """A scope in which a rule holds."""

    scope: str
    """Identifies the alert together with the rule, such as a currency or a case."""
    summary: str
    """A sentence for people, without ids of users and cases."""
    value: Decimal | None = None
    expected: Decimal | None = None
    label: str | None = None
    """The scope without ids of users and cases; None if it has none."""
    for_days: int = 0
    """How many days the rule has to hold before an alert opens."""


@dataclass(frozen=True)
class Evaluation:
    """What rules are evaluated on."""

    home: Home
    now: datetime
    """`AS_OF`, or the present instant."""
    runs: Sequence[Run]
    """All finished runs, the oldest first."""
    connection: duckdb.DuckDBPyConnection | None = None
    """The published content; None while only the clock and the log of runs are looked at."""

    @property
    def published(self) -> duckdb.DuckDBPyConnection:
        """The published content."""
        if self.connection is None:
            raise RuntimeError("this rule needs the published file")
        return self.connection

    def today(self) -> date:
        """Return the reporting day of the publication."""
        today: date = self.published.execute("select today from ops.settings").fetchall()[0][0]
        return today


def money(amount: Decimal | None, currency: str | None) -> str:
    """Return an amount with all its digits and its currency."""
    return "an unknown amount" if amount is None else f"{exact_text(amount)} {(currency or '?').upper()}"


def rounded(value: Decimal, decimals: int = 12) -> Decimal:
    """Return a value rounded half-even. Python's own `round` fails beyond 28 digits."""
    return value.quantize(Decimal(1).scaleb(-decimals), context=EXACT)


def short(text: str) -> str:
    """Return a text from outside in one line of limited length."""
    text = printable(text)
    return text if len(text) <= SCOPE_CHARACTERS else f"{text[:SCOPE_CHARACTERS]}…"
