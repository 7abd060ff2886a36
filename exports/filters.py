"""Conditions on single columns, as in `--where`: `column=value`, `column>=value`, `column in a,b`.

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
SQL_OPERATORS = {"=": "=", "!=": "<>", "<>": "<>", ">": ">", ">=": ">=", "<": "<", "<=": "<=", "in": "in"}
SYNTAX = "allowed: column=value, and with != > >= < <= in place of =; column in value,value"
# Values are looked up one by one. A longer list comes from a program, which does not mistype.
MAX_LOOKED_UP, MAX_LISTED = 20, 10


class WrongSliceError(Exception):
    """The request for a slice is not valid. The message says what is allowed."""


@dataclass(frozen=True)
class Filter:
    """A condition: SQL with `?` for each value, and the values."""

    sql: str
    values: tuple[Any, ...]
    column: Column | None = None
    """The column, if the condition names values that should occur in it."""


def all_of(conditions: Sequence[Filter]) -> tuple[str, list[Any]]:
    """Return the conjunction of conditions (SQL), and their values in order."""
    where = " and ".join(f"({condition.sql})" for condition in conditions) or "true"
    return where, [value for condition in conditions for value in condition.values]


def parse_filter(text: str, columns: Mapping[str, Column]) -> Filter:
    """Return the condition that `text` states on one of `columns` (by name).

    Everything after `=` is the value, to the last character. A list may quote values as CSV does. Raises
    `WrongSliceError` for an unknown column or operator, or a value of another type.
    """
    parts = CONDITION.fullmatch(text)
    if parts is None:
        raise WrongSliceError(f"--where {text!r} is not understood; {SYNTAX}")
    name, space, operator, rest = parts.groups()
    operator = operator.lower()
    if operator not in SQL_OPERATORS:
        raise WrongSliceError(f"--where {text!r}: the operator {operator!r} is not known; {SYNTAX}")
    column = columns.get(name)
    if column is None:
        raise WrongSliceError(f"--where {text!r}: there is no column {name!r}; allowed: {', '.join(columns)}")
    # In `column = value` the space after the operator belongs to it, like the one before it.
    values = _list_values(rest) if operator == "in" else [rest.removeprefix(" ") if space else rest]
    typed = tuple(typed_value(value, column) for value in values)
    placeholders = ", ".join("?" for _ in typed)
    names_values = SQL_OPERATORS[operator] in ("=", "<>", "in")
    operand = f"({placeholders})" if operator == "in" else placeholders
    sql = f"{quoted(name)} {SQL_OPERATORS[operator]} {operand}"
    return Filter(sql, typed, column if names_values else None)


def missing_values(
    connection: duckdb.DuckDBPyConnection, relation: str, conditions: Sequence[Filter]
) -> Iterator[str]:
    """Yield a warning for each value in the conditions that its column in `relation` (SQL) never has."""
    for condition in conditions:
        if (column := condition.column) is None:
            continue
        name = quoted(column.name)
        for value in dict.fromkeys(condition.values[:MAX_LOOKED_UP]):
            if not connection.execute(
                f"select 1 from {relation} where {name} = ? limit 1", [value]
            ).fetchall():
                yield (
                    f"no row has the {column.name}"
                    f" {_as_text(value)}{_alternatives(connection, relation, column, value)}"
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
    query = (
        f"select distinct {name} from {relation} where {name} is not null order by 1 limit {MAX_LISTED + 1}"
    )
    existing = [value for (value,) in connection.execute(query).fetchall()]
    return f"; there are: {', '.join(map(repr, existing))}" if 0 < len(existing) <= MAX_LISTED else ""


def _as_text(value: Any) -> str:
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
    """Return `text` as a value of the column's type. Raises `WrongSliceError` if it is none."""
    if column.type not in TYPES:
        raise WrongSliceError(f"{column.name} is a list, which cannot be filtered; choose another column")
    parse, allowed = TYPES[column.type]
    try:
        return parse(text if column.type == "VARCHAR" else text.strip())
    except (ValueError, ArithmeticError):
        raise WrongSliceError(f"{column.name}: {text!r} is not allowed; allowed: {allowed}") from None


def _list_values(text: str) -> list[str]:
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


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        raise ValueError(text)
    return int(text)


def _text(text: str) -> str:
    text.encode()  # raises for bytes of the command line that are not UTF-8: no table has them
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


def _boolean(text: str) -> bool:
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
    "BIGINT": (_integer, "a whole number"),
    "INTEGER": (_integer, "a whole number"),
    MONEY: (_money, "a decimal such as 12.50, with up to 26 digits before and 12 behind the point"),
    "DOUBLE": (_number, "a number"),
    "DATE": (_day, "a day such as 2026-10-01"),
    "TIMESTAMP WITH TIME ZONE": (_instant, "an instant with offset such as 2026-10-01T06:00:00Z"),
    "BOOLEAN": (_boolean, "true or false"),
}
