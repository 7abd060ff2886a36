"""The encoding of values: exact decimals, instants in UTC, and text that no spreadsheet runs as a formula.

Each encoder returns the SQL expression of one column, by its type, for DuckDB's `COPY`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from exports.manifest import Format, ManifestColumn
from paywall_warehouse.quoting import file_literal, literal, quoted
from warehouse.published_tables import MONEY, Column

Encoding = Literal["parquet", "csv", "jsonl"]
# A spreadsheet takes text that starts with one of these for a formula (docs/contract.md#64-csv-and-mirrors).
FORMULA_START = r"^[=+\-@\t\r]"
# RFC 3339 with all six decimals, so that texts sort like the instants.
MICROSECONDS = "%Y-%m-%dT%H:%M:%S.%fZ"
WHOLE_SECONDS = "%Y-%m-%dT%H:%M:%SZ"
ZSTD_LEVEL = 3
# Metadata has up to 64 KiB, and a row may have several long texts.
LONGEST_LINE = 10_000_000
# DuckDB's default, stated so that the same rows give the same bytes if the default changes.
ROW_GROUP = 122_880


def as_parquet(column: Column, instant_format: str) -> str:
    """Return the column unchanged: Parquet has all types that are exported."""
    return quoted(column.name)


def as_csv(column: Column, instant_format: str) -> str:
    """Return the text of a value. NULL stays NULL, which CSV shows as nothing; empty text is `""`."""
    name = quoted(column.name)
    if column.type == "VARCHAR":
        return (
            f"case when regexp_matches({name}, {literal(FORMULA_START)}) then chr(39) || {name} else"
            f" {name} end"
        )
    if column.type == "TIMESTAMP WITH TIME ZONE":
        return _instant_text(name, instant_format)
    if column.type.endswith("[]"):
        return f"cast(to_json({name}) as varchar)"
    return name


def as_json(column: Column, instant_format: str) -> str:
    """Return money as text, because most JSON readers turn a number of 38 digits into a float."""
    name = quoted(column.name)
    if column.type == MONEY:
        return f"cast({name} as varchar)"
    if column.type == "TIMESTAMP WITH TIME ZONE":
        return _instant_text(name, instant_format)
    return name


def _instant_text(name: str, instant_format: str) -> str:
    return f"strftime({name} at time zone 'UTC', {literal(instant_format)})"


ENCODINGS: dict[Encoding, Callable[[Column, str], str]] = {
    "parquet": as_parquet,
    "csv": as_csv,
    "jsonl": as_json,
}
OPTIONS: dict[Encoding, str] = {
    "parquet": (
        f"format parquet, compression zstd, compression_level {ZSTD_LEVEL}, row_group_size {ROW_GROUP}"
    ),
    "csv": "format csv, header, nullstr ''",
    "jsonl": "format json",
}


def select_list(columns: Sequence[Column], encoding: Encoding, *, whole_seconds: bool = False) -> str:
    """Return the select list (SQL) of encoded columns. `whole_seconds`: see `Dataset`."""
    encode, instant_format = ENCODINGS[encoding], WHOLE_SECONDS if whole_seconds else MICROSECONDS
    return ", ".join(f"{encode(column, instant_format)} as {quoted(column.name)}" for column in columns)


def copy_statement(query: str, file: str, encoding: Encoding) -> str:
    """Return the `COPY` statement (SQL) that writes encoded rows to one file. Text is not compressed."""
    return f"copy ({query}) to {literal(file)} ({OPTIONS[encoding]})"


def read_function(
    files: Sequence[Path],
    encoding: Format,
    columns: Sequence[Column] | Sequence[ManifestColumn],
    *,
    compressed: bool,
) -> str:
    """Return the table function (SQL) that reads files, with a column `filename`.

    In CSV only money has its type. All other columns are text.
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
