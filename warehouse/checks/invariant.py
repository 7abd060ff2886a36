"""A check before publication: what was expected, what was found, and where to look further."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Final, Protocol

ERROR: Final = "error"
WARN: Final = "warn"
# Python's own context keeps 28 digits; a DECIMAL(38,12) has up to 38.
EXACT: Final = Context(prec=80)


class Answer(Protocol):
    """What a query gave, as Python's database interface has it."""

    @property
    def description(self) -> Sequence[Sequence[Any]] | None:
        """A sequence for each column, whose first element is its name."""

    def fetchone(self) -> Any:
        """The next row, None behind the last."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""


class Queries(Protocol):
    """What checks ask: the build file, or a build on a cluster."""

    def execute(self, query: str, /) -> Answer:
        """The answer to a query in DuckDB's SQL."""


@dataclass(frozen=True)
class Invariant:
    """A row of `ops.invariants`, with a query that looks further where it does not hold."""

    name: str
    scope: str
    expected: Decimal
    actual: Decimal
    passed: bool
    query: str
    severity: str = ERROR
    """`error`: where it does not hold nothing is published; `warn`: it is told, and that is all."""
    details: str = ""
    """Lines for people: what fails, one by one, and what to do. In no table."""

    @property
    def blocks(self) -> bool:
        """Whether nothing may be published because of it."""
        return not self.passed and self.severity == ERROR

    @property
    def difference(self) -> Decimal:
        """Actual minus expected, with every digit."""
        return EXACT.subtract(self.actual, self.expected)


def invariant(name: str, scope: str, expected: Any, actual: Any, query: str) -> Invariant:
    """An invariant that holds where both values are equal."""
    return Invariant(
        name, scope, Decimal(expected), Decimal(actual), Decimal(expected) == Decimal(actual), query
    )


def exact_text(value: Decimal) -> str:
    """Every digit, and no more."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def describe_failure(one: Invariant, words: Mapping[str, str]) -> str:
    """Return a failure in words: the check, both values, what it means (`words`, by name), where to look
    further, and its details.
    """
    values = f"expected {exact_text(one.expected)}, actual {exact_text(one.actual)}"
    further = f"\n{one.details}" if one.details else ""
    return f"{one.name} ({one.scope}): {values}. {words[one.name]} To look further: {one.query}{further}"
