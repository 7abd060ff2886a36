"""Conditions on single columns, as `--where` takes them: `column=value`, `column!=value`, `column>=value`,
`column in a,b`, …

Comparisons are exact and in the column's type. As in SQL, a row without a value in the column meets no
condition on it.
"""

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from paywall_warehouse.quoting import quoted
from warehouse.checks.invariant import EXACT
from warehouse.published_tables import MONEY, Column

CONDITION = re.compile(r"\s*(\w++)(\s*)(>=|<=|<>|!=|=|<|>|\b(?i:in)\b|\S+)(.*)", re.DOTALL)
UNIT, LIMIT = Decimal(1).scaleb(-12), Decimal(10) ** 26
# As SQL writes them.
OPERATORS = {"=": "=", "!=": "<>", "<>": "<>", ">": ">", ">=": ">=", "<": "<", "<=": "<=", "in": "in"}
HOW = "allowed: column=value, and with != > >= < <= in place of =; column in value,value"
# Values are compared one by one with what is there; more of them come from a program, not from somebody who
# may have mistyped one.
MOST_LOOKED_UP, SHOWN = 20, 10


class WrongSliceError(Exception):
    """A slice cannot be had as it was asked for; the text says what is allowed."""


@dataclass(frozen=True)
class Filter:
    """A condition: SQL with `?` for each value, and the values."""

    sql: str
    values: tuple[Any, ...]
    column: Column | None = None
    """The column whose values should occur, where the condition names some of them."""


def joined(conditions: Sequence[Filter]) -> tuple[str, list[Any]]:
    """SQL: all of some conditions, and their values in order."""
    where = " and ".join(f"({condition.sql})" for condition in conditions) or "true"
    return where, [value for condition in conditions for value in condition.values]


def parse_filter(text: str, columns: Mapping[str, Column]) -> Filter:
    """A condition on one of `columns` (by name); raises `WrongSliceError` for an unknown column, operator or
    a value of another type.

    What stands behind `=` is the value to its last character. A list may quote values as CSV does.
    """
    parts = CONDITION.fullmatch(text)
    if parts is None:
        raise WrongSliceError(f"--where {text!r} is not understood; {HOW}")
    name, space, operator, rest = parts.groups()
    operator = operator.lower()
    if operator not in OPERATORS:
        raise WrongSliceError(f"--where {text!r}: the operator {operator!r} is not known; {HOW}")
    column = columns.get(name)
    if column is None:
        raise WrongSliceError(f"--where {text!r}: there is no column {name!r}; allowed: {', '.join(columns)}")
    # `column = value`: the space behind the operator belongs to it as the one before it does.
    values = _listed(rest) if operator == "in" else [rest.removeprefix(" ") if space else rest]
    typed = tuple(typed_value(value, column) for value in values)
    holes = ", ".join("?" for _ in typed)
    names_values = OPERATORS[operator] in ("=", "<>", "in")
    sql = f"{quoted(name)} {OPERATORS[operator]} {f'({holes})' if operator == 'in' else holes}"
    return Filter(sql, typed, column if names_values else None)


def missing_values(
    connection: duckdb.DuckDBPyConnection, relation: str, conditions: Sequence[Filter]
) -> Iterator[str]:
    """Yield a warning for each value that conditions name and that occurs nowhere in the column of `relation`
    (SQL).
    """
    for condition in conditions:
        if (column := condition.column) is None:
            continue
        name = quoted(column.name)
        for value in dict.fromkeys(condition.values[:MOST_LOOKED_UP]):
            if not connection.execute(
                f"select 1 from {relation} where {name} = ? limit 1", [value]
            ).fetchall():
                yield (
                    f"no row has the {column.name}"
                    f" {_said(value)}{_alternatives(connection, relation, column, value)}"
                )


def _alternatives(connection: duckdb.DuckDBPyConnection, relation: str, column: Column, value: Any) -> str:
    if column.type != "VARCHAR":
        return ""
    name = quoted(column.name)
    alike = connection.execute(
        f"select {name} from {relation} where lower({name}) = lower(?) limit 1", [value]
    ).fetchall()
    if alike:
        return f"; there is {alike[0][0]!r}"
    query = f"select distinct {name} from {relation} where {name} is not null order by 1 limit {SHOWN + 1}"
    there = [one for (one,) in connection.execute(query).fetchall()]
    return f"; there are: {', '.join(map(repr, there))}" if 0 < len(there) <= SHOWN else ""


def _said(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return (
        repr(value)
        if isinstance(value, str)
        else format(value, "f")
        if isinstance(value, Decimal)
        else str(value)
    )


def typed_value(text: str, column: Column) -> Any:
    """A value in the column's type; raises `WrongSliceError` for a text that is none."""
    if column.type not in TYPES:
        raise WrongSliceError(f"{column.name} is a list, which cannot be filtered; choose another column")
    read, words = TYPES[column.type]
    try:
        return read(text if column.type == "VARCHAR" else text.strip())
    except (ValueError, ArithmeticError):
        raise WrongSliceError(f"{column.name}: {text!r} is not allowed; allowed: {words}") from None


def _listed(text: str) -> list[str]:
    inner = text.strip()
    if inner.startswith("(") and inner.endswith(")"):
        inner = inner[1:-1]
    try:
        values = next(csv.reader([inner], skipinitialspace=True, strict=True), [])
    except csv.Error:
        values = []
    if not values:
        raise WrongSliceError(
            "--where … in: no values are given, or a quote is not closed; allowed: column in value,value"
        )
    return values


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        raise ValueError(text)
    return int(text)


def _text(text: str) -> str:
    text.encode()  # a byte of the command line that is no UTF-8 is in no table
    return text


def _money(text: str) -> Decimal:
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", text, re.ASCII):
        raise ValueError(text)
    amount = Decimal(text)
    exact = amount.quantize(UNIT, context=EXACT)
    if exact != amount or abs(exact) >= LIMIT:
        raise ValueError(text)
    return exact


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(text)
    return instant.astimezone(UTC)


def _day(text: str) -> date:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        raise ValueError(text)
    return date.fromisoformat(text)


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


TYPES: dict[str, tuple[Callable[[str], Any], str]] = {
    "VARCHAR": (_text, "any text in UTF-8"),
    "BIGINT": (_whole, "a whole number"),
    "INTEGER": (_whole, "a whole number"),
    MONEY: (_money, "a decimal such as 12.50, with up to 26 digits before and 12 behind the point"),
    "DOUBLE": (_number, "a number"),
    "DATE": (_day, "a day such as 2026-10-01"),
    "TIMESTAMP WITH TIME ZONE": (_instant, "an instant with offset such as 2026-10-01T06:00:00Z"),
    "BOOLEAN": (_truth, "true or false"),
}
