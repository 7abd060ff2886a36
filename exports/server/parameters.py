"""The parameters of a request for rows, validated against what the token may see."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import cast

from starlette.datastructures import QueryParams

from exports.encoding import OPTIONS, Encoding
from exports.filters import CONDITION, Filter, WrongSliceError, parse_filter, typed_value
from exports.server.answers import ApiError
from exports.server.scope import View
from paywall_warehouse.quoting import quoted
from warehouse.published_tables import Column

NAMES = ("from", "to", "columns", "where", "format", "limit", "cursor")
MOST_DIGITS = 9


@dataclass(frozen=True)
class RowsRequest:
    """A validated request for rows."""

    columns: tuple[Column, ...]
    conditions: tuple[Filter, ...]
    encoding: Encoding
    limit: int | None
    cursor: str | None
    digest: str
    """A digest of the rows and columns that are requested. It is the same for all pages of a slice."""

    @property
    def shape(self) -> list[list[str]]:
        """The names and types of the columns."""
        return [[column.name, column.type] for column in self.columns]


def parse_rows_request(query: QueryParams, view: View, most_rows: int, most_conditions: int) -> RowsRequest:
    """Return the request that a query string states.

    Raises `ApiError`: 400 for a value that is not allowed, 403 for a column that the token may not see.
    """
    if unknown := [name for name in query if name not in NAMES]:
        raise _wrong(f"there is no parameter {unknown[0]!r}; allowed: {', '.join(NAMES)}")
    for name in NAMES:
        if name != "where" and len(query.getlist(name)) > 1:
            raise _wrong(f"{name} is stated twice; only where may be repeated")
    encoding = query.get("format", "csv")
    if encoding not in OPTIONS:
        raise _wrong(f"format: {encoding!r} is not allowed; allowed: {', '.join(sorted(OPTIONS))}")
    where = query.getlist("where")
    if len(where) > most_conditions:
        raise _wrong(f"where: at most {most_conditions} conditions are allowed; use column in value,value")
    try:
        conditions = [*_days(query, view), *(_condition(text, view) for text in where)]
    except WrongSliceError as error:
        # The messages name the options of the command `export`.
        raise _wrong(str(error).removeprefix("--")) from error
    stated = [query.get(name) for name in ("from", "to", "columns")]
    return RowsRequest(
        _columns(query.get("columns"), view),
        tuple(conditions),
        cast(Encoding, encoding),
        _limit(query.get("limit"), most_rows),
        query.get("cursor"),
        hashlib.sha256(json.dumps([view.dataset.name, *stated, sorted(where)]).encode()).hexdigest(),
    )


def _days(query: QueryParams, view: View) -> list[Filter]:
    """Return the conditions on the half-open range of reporting days."""
    days: dict[str, date] = {}
    for name in ("from", "to"):
        if (text := query.get(name)) is None:
            continue
        if view.dataset.day is None:
            raise _wrong(f"{name}: {view.dataset.name} is a snapshot without days; use where")
        _check_visible([view.dataset.day], view)
        days[name] = typed_value(text, Column(name, "DATE", ""))
    if len(days) > 1 and days["from"] > days["to"]:
        raise _wrong(f"from {days['from']} is after to {days['to']}; to is the day after the last")
    operators = {"from": ">=", "to": "<"}
    return [
        Filter(f"{quoted(view.dataset.day or '')} {operators[name]} ?", (day,)) for name, day in days.items()
    ]


def _condition(text: str, view: View) -> Filter:
    if (found := CONDITION.fullmatch(text)) is not None:
        _check_visible([found[1]], view)
    return parse_filter(text, view.columns)


def _columns(text: str | None, view: View) -> tuple[Column, ...]:
    if text is None:
        return tuple(view.columns.values())
    names = [name.strip() for name in text.split(",")]
    _check_visible(names, view)
    if unknown := [name for name in names if name not in view.columns]:
        raise _wrong(f"columns: there is no column {unknown[0]!r}; allowed: {', '.join(view.columns)}")
    if len(set(names)) < len(names):
        raise _wrong("columns: a column is named twice; name each once")
    return tuple(view.columns[name] for name in names)


def _limit(text: str | None, most_rows: int) -> int | None:
    if text is None:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
    if not is_number or not 1 <= int(text) <= most_rows:
        raise _wrong(f"limit: {text!r} is not allowed; allowed: a whole number from 1 to {most_rows}")
    return int(text)


def _check_visible(names: Sequence[str], view: View) -> None:
    """Raise `ApiError` for a column that exists, but not for this token: a filter on it would reveal it."""
    if hidden := [name for name in names if name in view.hidden]:
        raise ApiError(
            403, f"this token may not see the column {hidden[0]!r}; it may see: {', '.join(view.columns)}"
        )


def _wrong(message: str) -> ApiError:
    return ApiError(400, message)
