"""The result of a check before publication: expected value, actual value, and a query for details."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Final

from warehouse.checks.rejected_files import RejectedFile

ERROR: Final = "error"
WARN: Final = "warn"
# Python's default context keeps 28 digits. A DECIMAL(38,12) has up to 38.
EXACT: Final = Context(prec=80)


@dataclass(frozen=True)
class Invariant:
    """A row of `ops.invariants`, with a query that finds the cause if the check fails."""

    name: str
    scope: str
    expected: Decimal
    actual: Decimal
    passed: bool
    query: str
    severity: str = ERROR
    """`error`: nothing is published if the check fails. `warn`: a failure is only reported."""
    details: str = ""
    """Lines for the operator: each failure and its remedies. They are not stored in a table."""
    summary: str = ""
    """A sentence with the cause of a failure: files, reasons and counts."""
    rejected_files: tuple[RejectedFile, ...] = ()
    """The files that caused a failure, the one with the most rejects first."""

    @property
    def blocks(self) -> bool:
        """Whether this check prevents publication."""
        return not self.passed and self.severity == ERROR

    @property
    def difference(self) -> Decimal:
        """Actual minus expected, without rounding."""
        return EXACT.subtract(self.actual, self.expected)


def invariant(name: str, scope: str, expected: Any, actual: Any, query: str) -> Invariant:
    """Return an invariant that holds if both values are equal."""
    return Invariant(
        name, scope, Decimal(expected), Decimal(actual), Decimal(expected) == Decimal(actual), query
    )


def exact_text(value: Decimal) -> str:
    """Format a number with all its digits, but without trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def compared_values(one: Invariant) -> str:
    """Return the expected value, the actual value and their difference, with all digits."""
    return (
        f"expected {exact_text(one.expected)}, actual {exact_text(one.actual)}, difference"
        f" {exact_text(one.difference)}"
    )


def describe_failure(one: Invariant, words: Mapping[str, str]) -> str:
    """Return the text of a failure: check, values, meaning, a query for details, and the details.

    `words` has the meaning of each check by name.
    """
    further = f"\n{one.details}" if one.details else ""
    return (
        f"{one.name} ({one.scope}): {compared_values(one)}. {words[one.name]} To look further:"
        f" {one.query}{further}"
    )
