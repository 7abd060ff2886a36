"""How values are written: exact decimals, instants in UTC, text that no spreadsheet runs as a formula.

Each function gives the SQL expression of one column, by its type, for DuckDB's `COPY`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from paywall_warehouse.quoting import file_literal, literal, quoted
from warehouse.published_tables import MONEY, Column

Encoding = Literal["parquet", "csv", "jsonl"]
# What a spreadsheet takes for the start of a formula: = + - @, tab, carriage return (contract, section 6).
FORMULA_START = r"^[=+\-@\t\r]"
# RFC 3339 with all six decimals, so that texts sort as the instants do.
INSTANT = "strftime({name} at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')"
ZSTD_LEVEL = 3
# Metadata has up to 64 KiB, and may be one of several long texts of a row.
LONGEST_LINE = 10_000_000
# DuckDB's default, stated because the same rows must give the same bytes whatever the default becomes.
ROW_GROUP = 122_880


def as_it_is(column: Column) -> str:
    """Parquet has all types of the contract."""
    return quoted(column.name)


def as_csv(column: Column) -> str:
    """Text of a value; NULL stays NULL, which CSV shows as nothing, and an empty text as `""`."""
    name = quoted(column.name)
    if column.type == "VARCHAR":
        return (
            f"case when regexp_matches({name}, {literal(FORMULA_START)}) then chr(39) || {name} else"
            f" {name} end"
        )
    if column.type == "TIMESTAMP WITH TIME ZONE":
        return INSTANT.format(name=name)
    if column.type.endswith("[]"):
        return f"cast(to_json({name}) as varchar)"
    return name


def as_json(column: Column) -> str:
    """Money as text: most readers of JSON make a number of 38 digits a float."""
    name = quoted(column.name)
    if column.type == MONEY:
        return f"cast({name} as varchar)"
    if column.type == "TIMESTAMP WITH TIME ZONE":
        return INSTANT.format(name=name)
    return name


ENCODINGS: dict[Encoding, Callable[[Column], str]] = {"parquet": as_it_is, "csv": as_csv, "jsonl": as_json}
OPTIONS: dict[Encoding, str] = {
    "parquet": (
        f"format parquet, compression zstd, compression_level {ZSTD_LEVEL}, row_group_size {ROW_GROUP}"
    ),
    "csv": "format csv, header, nullstr ''",
    "jsonl": "format json",
}


def encoded(columns: Sequence[Column], encoding: Encoding) -> str:
    """SQL: the select list of some columns as they are written."""
    encode = ENCODINGS[encoding]
    return ", ".join(f"{encode(column)} as {quoted(column.name)}" for column in columns)


def copy_statement(query: str, file: str, encoding: Encoding) -> str:
    """A `COPY` of a query's rows, which are encoded already, into one file; text is not compressed."""
    return f"copy ({query}) to {literal(file)} ({OPTIONS[encoding]})"


def reader(
    files: Sequence[Path], encoding: Literal["parquet", "csv"], columns: Sequence[Column], *, compressed: bool
) -> str:
    """SQL: the rows of some files, with `filename`. Of CSV only money has its type, everything else is
    text.
    """
    listed = ", ".join(file_literal(str(file)) for file in files)
    if encoding == "parquet":
        return f"read_parquet([{listed}], filename = true, hive_partitioning = false)"
    types = ", ".join(
        f"{literal(column.name)}: {literal(column.type if column.type == MONEY else 'VARCHAR')}"
        for column in columns
    )
    return (
        f"read_csv([{listed}], filename = true, hive_partitioning = false, auto_detect = false, header ="
        " true, delim = ',', quote = '\"', escape = '\"', nullstr = '', new_line = '\\n', max_line_size ="
        f" {LONGEST_LINE}, compression = {'gzip' if compressed else 'none'}, columns = {{{types}}})"
    )
