"""The table of a pull, and the SQL that reads it.

Only a few types stay what they are. All others are cast to text by Postgres, which keeps every digit: Arrow's
types have fewer digits than `numeric`, and a float has a shortest text only in the program that has its bits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from math import ceil
from typing import Final

from ingestion.postgres_pull.server import PostgresRefusedError, Reading
from paywall_warehouse.quoting import literal, printable, quoted

INTEGERS = ("int2", "int4", "int8")
NUMBERS = ("numeric", "float4", "float8")
# Infinity would be later than every row to come, and the files cannot hold it. Python's years end here, too.
FIRST_TIME: Final = "0001-01-01"
LAST_TIMES: Final = {
    "date": "9999-12-31",
    "timestamp": "9999-12-31 23:59:59.999999",
    "timestamptz": "9999-12-31 23:59:59.999999",
}
TIMES = tuple(LAST_TIMES)
# NaN is larger than every number.
LARGEST = "1e300"
SHOWN_COLUMNS = 40


@dataclass(frozen=True)
class Column:
    """A column of a table. The type is that below a domain."""

    name: str
    type_name: str
    """The name of a built-in type, such as `int8`; '' for all others."""
    shown_type: str
    is_required: bool
    """Whether the column is declared `not null`."""
    is_nested: bool
    """Whether it is an array or a row, which land as JSON."""


@dataclass(frozen=True)
class Table:
    """A table, the columns that are selected from it, and the cursor."""

    relation: str
    """The quoted name."""
    cursor: Column
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    missing: tuple[str, ...]
    """The columns that the mapping reads and the table does not have."""

    @property
    def is_timed(self) -> bool:
        """Whether the cursor is a point in time."""
        return self.cursor.type_name in TIMES

    @property
    def usable(self) -> str:
        """The condition for rows with a cursor value that can be compared."""
        name, kind = f"t.{quoted(self.cursor.name)}", self.cursor.type_name
        if kind in INTEGERS:
            return f"{name} is not null"
        return f"{name} between {' and '.join(_bounds(kind))}"

    @property
    def unusable(self) -> str:
        """The condition for rows that a pull can never find; an index on the cursor answers it."""
        name, kind = f"t.{quoted(self.cursor.name)}", self.cursor.type_name
        conditions = [] if self.cursor.is_required else [f"{name} is null"]
        if kind not in INTEGERS:
            first, last = _bounds(kind)
            conditions += [f"{name} < {first}", f"{name} > {last}"]
        return " or ".join(conditions) or "false"

    def query(self, through: str | None, units: float) -> str:
        """Return the query for all rows from `units` (seconds, or 1 of a number) before a cursor value on.

        Besides the columns, named `c0`, `c1`, …, it has `key_digest` (int8), `cursor_position` (float8, which
        never falls when the cursor grows) and `cursor_text`. The rows are in the order of the cursor, so that
        a pull that ends early has landed everything up to some value.
        """
        name = f"t.{quoted(self.cursor.name)}"
        position = f"extract(epoch from {name})" if self.is_timed else name
        selected = [
            *(f"{_expression(column)} as c{place}" for place, column in enumerate(self.columns)),
            # The key itself stays in the database, unless the mapping reads it.
            f"{self._key_digest} as key_digest",
            f"{position}::float8 as cursor_position",
            f"{name}::text as cursor_text",
        ]
        conditions = [self.usable]
        if through is not None:
            conditions.append(f"{name} >= {self.start(through, units)}")
        order = [name, *(f't.{quoted(column)}::text collate "C"' for column in self.key)]
        return (
            f"select {', '.join(selected)} from {self.relation} as t"
            f" where {' and '.join(conditions)} order by {', '.join(order)}"
        )

    @property
    def _key_digest(self) -> str:
        key = ", ".join(f"t.{quoted(column)}" for column in self.key)
        return f"hashtextextended(row({key})::text, 0)"

    def start(self, through: str, units: float) -> str:
        """Return the cursor value `units` before another, in SQL that an index on the cursor can use."""
        kind, value = self.cursor.type_name, literal(through)
        if kind == "date":
            return f"({value}::date::timestamp - interval '{units:.6f} seconds')"
        if self.is_timed:
            return f"({value}::{kind} - interval '{units:.6f} seconds')"
        if kind in INTEGERS:
            return f"greatest({value}::numeric - {ceil(units)}, -9223372036854775808)::int8"
        return f"({value}::{kind} - {units:.6f})::{kind}"

    @property
    def count_query(self) -> str:
        """The query for the number of rows that a pull can never find."""
        return f"select count(*) from {self.relation} as t where {self.unusable}"

    @property
    def end_query(self) -> str:
        """The query for the position and text beyond which no cursor value is remembered: the present.

        A row with a time in the future would otherwise hide all rows until then. For numbers, it is the
        largest value.
        """
        if not self.is_timed:
            name = f"t.{quoted(self.cursor.name)}"
            return (
                f"select max({name})::float8, max({name})::text from {self.relation} as t where {self.usable}"
            )
        now = {
            "timestamptz": "now()",
            "timestamp": "(now() at time zone 'UTC')",
            "date": "(now() at time zone 'UTC')::date",
        }[self.cursor.type_name]
        return f"select extract(epoch from {now})::float8, {now}::text"


def find_table(
    reading: Reading, variable: str, table: str, cursor: str, key: Iterable[str], columns: Iterable[str]
) -> Table:
    """Return a table with the columns of it that are wanted.

    Raises `PostgresRefusedError` if the table, the cursor or a key column is missing, or if the cursor has no
    order that grows.
    """
    relation = ".".join(map(quoted, table.split(".", 1)))
    (exists,) = reading.row(f"select to_regclass({literal(relation)}) is not null")
    if not exists:
        raise PostgresRefusedError(
            f"{variable}: the table {printable(relation)} does not exist{_similar(reading, table)}. Correct"
            " the table in the mapping, or the database in the DSN"
        )
    found = _columns(reading, relation)

    def column(name: str, use: str) -> Column:
        if name not in found:
            near = get_close_matches(name.lower(), found, 1) or get_close_matches(name, found, 1, 0.4)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise PostgresRefusedError(
                f"{variable}: the table {printable(relation)} has no column {printable(name)}, the {use} of"
                f" the mapping.{hint} It has: {printable(', '.join(list(found)[:SHOWN_COLUMNS]))}"
            )
        return found[name]

    by = column(cursor, "cursor")
    if by.type_name not in (*INTEGERS, *NUMBERS, *TIMES):
        grows = [one.name for one in found.values() if one.type_name in TIMES]
        hint = f", such as {printable(', '.join(grows))}" if grows else ""
        raise PostgresRefusedError(
            f"{variable}: the cursor {printable(cursor)} of {printable(relation)} is of type"
            f" {by.shown_type}, whose order is not the order in time. Use a timestamp, a date or a number"
            f" that grows{hint}"
        )
    keys = tuple(column(name, "key").name for name in key)
    wanted = list(dict.fromkeys(columns))
    selected = tuple(found[name] for name in wanted if name in found)
    if not selected:
        raise PostgresRefusedError(
            f"{variable}: the table {printable(relation)} has none of the columns that the mapping reads."
            f" It has: {printable(', '.join(list(found)[:SHOWN_COLUMNS]))}"
        )
    return Table(relation, by, keys, selected, tuple(name for name in wanted if name not in found))


def _columns(reading: Reading, relation: str) -> dict[str, Column]:
    rows = reading.rows(f"""
with recursive types(attnum, oid) as (
    select attnum, atttypid from pg_attribute
    where attrelid = to_regclass({literal(relation)}) and attnum > 0 and not attisdropped
    union all
    select types.attnum, pg_type.typbasetype from types join pg_type using (oid) where typtype = 'd'
)

select
    attname::text,
    case when typnamespace = 'pg_catalog'::regnamespace then typname::text else '' end,
    format_type(types.oid, null),
    attnotnull,
    typcategory in ('A', 'C')
from types join pg_type using (oid) join pg_attribute using (attnum)
where attrelid = to_regclass({literal(relation)}) and typtype <> 'd'
order by attnum
""")
    return {row[0]: Column(*row) for row in rows}


def _similar(reading: Reading, table: str) -> str:
    """Return a hint with tables of the same name in another case or schema."""
    name = literal(table.rpartition(".")[2].lower())
    rows = reading.rows(
        "select relnamespace::regnamespace::text || '.' || relname from pg_class"
        f" where lower(relname) = {name} and relkind in ('r', 'p', 'v', 'm', 'f') order by 1 limit 3"
    )
    return f" (there is {printable(', '.join(row[0] for row in rows))})" if rows else ""


def _bounds(kind: str) -> tuple[str, str]:
    if kind in TIMES:
        return f"'{FIRST_TIME}'::{kind}", f"'{LAST_TIMES[kind]}'::{kind}"
    wide = "numeric" if kind == "numeric" else "float8"
    return f"'-{LARGEST}'::{wide}", f"'{LARGEST}'::{wide}"


def _expression(column: Column) -> str:
    name, kind = f"t.{quoted(column.name)}", column.type_name
    if kind in INTEGERS:
        return f"{name}::int8"
    if kind == "bool":
        return f"{name}::bool"
    if kind in TIMES:
        first, last = _bounds(kind)
        return f"case when {name} between {first} and {last} then {name}::{kind} end"
    if kind == "money":
        # Its own text has the sign and the separators of the server's locale.
        return f"{name}::numeric::text"
    return f"to_json({name})::text" if column.is_nested else f"{name}::text"
