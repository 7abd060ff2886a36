"""The files of some partitions, prepared on a local disk: sorted, split into parts of a bounded size, read
back.

Rows are sorted once for all formats. The same rows give the same bytes.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path

import duckdb

from exports.compression import compress_in_place
from exports.datasets import Dataset
from exports.encoding import copy_statement, encoded, reader
from exports.fingerprints import Contents, Totals, added, read_totals
from exports.manifest import SUFFIXES, Format
from paywall_warehouse.files import sha256
from paywall_warehouse.quoting import quoted
from warehouse.published_tables import Table

# Some 45 MB of the ledger as Parquet.
PART_ROWS = 1_000_000
PART_BYTES = 256_000_000
SORTED, SORTED_TEXT = "memory.main.sorted_slice", "memory.main.sorted_text"


class ReadBackError(Exception):
    """A file does not hold the rows that it was written from; nothing of it is shown to anybody."""


@dataclass(frozen=True)
class Part:
    """A finished file that is not in its place yet."""

    date: date | None
    number: int
    """From 0, in the order of the rows of the partition."""
    format: Format
    prepared: Path
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class _Range:
    """Rows of the sorted table that make one part."""

    date: date | None
    number: int
    first: int
    rows: int


def write_parts(
    connection: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    table: Table,
    partitions: Sequence[tuple[date | None, Contents, Sequence[Format]]],
    staging: Path,
    relation: str,
) -> dict[date | None, list[Part]]:
    """The parts of some partitions of `relation` (SQL), each in its formats, in `staging`; one part without
    rows where there are none.

    Raises `ReadBackError` where a file that was written does not say what the mart says.
    """
    staging.mkdir(parents=True, exist_ok=True)
    expected = {day: contents for day, contents, _ in partitions}
    formats = {day: own for day, _, own in partitions}
    _sort(connection, dataset, table, relation, [day for day, contents in expected.items() if contents.rows])
    tables: dict[Format, str] = {"parquet": SORTED}
    if any("csv" in own for own in formats.values()):
        # Once for all files: the expressions of 30 columns take DuckDB 20 ms to plan.
        tables["csv"] = SORTED_TEXT
        connection.execute(
            f"create or replace table {SORTED_TEXT} as select {encoded(table.columns, 'csv')} from {SORTED}"
        )
    written = [
        (span, encoding, staging / f"{span.date or 'all'}-{span.number}.{encoding}")
        for span in _ranges(expected)
        for encoding in formats[span.date]
    ]

    def write(span: _Range, encoding: Format, file: Path) -> None:
        # Ordered, though it is in order: else row groups begin where those of the table do, wherever the day
        # lies in it.
        rows = (
            f"select * from {tables[encoding]} where rowid >= {span.first} and rowid <"
            f" {span.first + span.rows} order by rowid"
        )
        with connection.cursor() as cursor:
            cursor.execute(copy_statement(rows, str(file), encoding))

    # Several at once: a file of a day is mostly one row group, which one thread writes.
    (threads,) = connection.execute("select cast(current_setting('threads') as integer)").fetchall()[0]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, *zip(*written, strict=True)))
    for name in tables.values():
        connection.execute(f"drop table {name}")
    _read_back(connection, dataset, table, written, expected)
    parts: dict[date | None, list[Part]] = {day: [] for day in expected}
    with ThreadPoolExecutor(threads) as pool:
        finished = pool.map(lambda one: _finish(one[2], one[1]), written)
        for (span, encoding, file), (size, digest) in zip(written, finished, strict=True):
            parts[span.date].append(Part(span.date, span.number, encoding, file, span.rows, size, digest))
    return parts


def _sort(
    connection: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    table: Table,
    relation: str,
    days: Sequence[date | None],
) -> None:
    """The rows in the order of the files, so that a part is a range of row numbers."""
    where = "false" if not days else "true"
    if days and dataset.day:
        listed = ", ".join(f"date '{day}'" for day in days)
        # The bounds, which DuckDB compares with what it knows of each block of rows, beside the days
        # themselves.
        where = (
            f"{quoted(dataset.day)} between date '{days[0]}' and date '{days[-1]}' and {quoted(dataset.day)}"
            f" in ({listed})"
        )
    order = ", ".join(map(quoted, dataset.order))
    connection.execute(
        f"create or replace table {SORTED} as select * from {relation} where {where} order by {order}"
    )
    # A last row that is in no part: without a NULL in the table DuckDB makes the column REQUIRED in Parquet,
    # so that a day's bytes would depend on the days that are written with it.
    connection.execute(f"insert into {SORTED} select {', '.join('null' for _ in table.columns)}")


def _ranges(partitions: Mapping[date | None, Contents]) -> Iterator[_Range]:
    first = 0
    for day, contents in partitions.items():
        parts = max(math.ceil(contents.rows / PART_ROWS), math.ceil(contents.text_bytes / PART_BYTES), 1)
        size = math.ceil(contents.rows / parts)
        for number in range(parts):
            rows = min(size, contents.rows - number * size)
            if rows > 0 or number == 0:
                yield _Range(day, number, first + number * size, max(rows, 0))
        first += contents.rows


def _read_back(
    connection: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    table: Table,
    written: Sequence[tuple[_Range, Format, Path]],
    expected: Mapping[date | None, Contents],
) -> None:
    """Compare rows and sums of the files with those of the mart."""
    for encoding in SUFFIXES:
        own = [(span, file) for span, one, file in written if one == encoding]
        if not own:
            continue
        relation = reader([file for _, file in own], encoding, table.columns, compressed=False)
        rows = dict(connection.execute(f"select filename, count(*) from {relation} group by 1").fetchall())
        totals = read_totals(connection, dataset, table.amounts, relation, "filename")
        for day, group in groupby(own, key=lambda one: one[0].date):
            files = [(span, str(file)) for span, file in group]
            found = [rows.get(file, 0) for _, file in files]
            sums: Totals = added(totals.get(file, {}) for _, file in files)
            if found != [span.rows for span, _ in files] or sums != expected[day].totals:
                raise ReadBackError(
                    f"{dataset.name}, {day or 'all rows'}: the {encoding} files have {sum(found):,} rows, the"
                    f" mart {expected[day].rows:,}, or their sums differ. They are shown to nobody; run"
                    " again, and tell us if it stays so."
                )


def _finish(file: Path, encoding: Format) -> tuple[int, str]:
    """Compress a CSV file in place; size and digest of what is then there."""
    if encoding == "csv":
        compress_in_place(file)
    return file.stat().st_size, sha256(file)
