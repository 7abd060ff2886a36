"""The files of partitions, prepared on a local disk.

Rows are sorted once for all formats, and split into files of a limited size. Each file is read back. The same
rows give the same bytes.
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
from exports.encoding import ROW_GROUP, copy_statement, read_function, select_list
from exports.fingerprints import Fingerprint, Totals, read_totals, sum_totals
from exports.manifest import SUFFIXES, Format
from paywall_warehouse.files import sha256
from paywall_warehouse.quoting import quoted
from warehouse.published_tables import Table

# Some 45 MB of the ledger as Parquet.
PART_ROWS = 1_000_000
PART_BYTES = 256_000_000
SORTED, SORTED_TEXT = "memory.main.sorted_slice", "memory.main.sorted_text"


class ReadBackError(Exception):
    """A file does not hold the rows that it was written from. It is not published."""


@dataclass(frozen=True)
class PartitionFile:
    """A finished file that is not in its place yet: one part of a partition in one format."""

    date: date | None
    number: int
    """The number of the part from 0, in the order of the partition's rows."""
    format: Format
    prepared: Path
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class _Range:
    """The rows of the sorted table that form one part."""

    date: date | None
    number: int
    first: int
    rows: int


def write_partition_files(
    connection: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    table: Table,
    partitions: Sequence[tuple[date | None, Fingerprint, Sequence[Format]]],
    staging: Path,
    relation: str,
) -> dict[date | None, list[PartitionFile]]:
    """Write partitions of `relation` (SQL) to files in `staging`, and return the files by day.

    Each partition is written in its own formats. A partition without rows gets one file without rows. Raises
    `ReadBackError` if a file does not hold the rows and sums of the mart.
    """
    staging.mkdir(parents=True, exist_ok=True)
    expected = {day: fingerprint for day, fingerprint, _ in partitions}
    formats = {day: own for day, _, own in partitions}
    _sort(connection, dataset, table, relation, [day for day, one in expected.items() if one.rows])
    tables: dict[Format, str] = {"parquet": SORTED}
    if any("csv" in own for own in formats.values()):
        # Once for all files, because DuckDB takes 20 ms to plan the expressions of 30 columns.
        tables["csv"] = SORTED_TEXT
        connection.execute(
            f"create or replace table {SORTED_TEXT} as select"
            f" {select_list(table.columns, 'csv', whole_seconds=dataset.whole_seconds)} from {SORTED}"
        )
    written = [
        (span, encoding, staging / f"{span.date or 'all'}-{span.number}.{encoding}")
        for span in _ranges(expected)
        for encoding in formats[span.date]
    ]

    def write(span: _Range, encoding: Format, file: Path) -> None:
        rows = (
            f"select * from {tables[encoding]} where rowid >= {span.first} and rowid <"
            f" {span.first + span.rows}"
        )
        if encoding == "parquet" and span.rows > ROW_GROUP:
            # The rows are in order already, but row groups would begin where those of the table do, so that
            # the bytes would depend on the position of the day in it.
            rows += " order by rowid"
        with connection.cursor() as cursor:
            cursor.execute(copy_statement(rows, str(file), encoding))

    # Several at once: the file of a day is mostly one row group, which one thread writes.
    (threads,) = connection.execute("select cast(current_setting('threads') as integer)").fetchall()[0]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, *zip(*written, strict=True)))
    for name in tables.values():
        connection.execute(f"drop table {name}")
    _read_back(connection, dataset, table, written, expected)
    files: dict[date | None, list[PartitionFile]] = {day: [] for day in expected}
    with ThreadPoolExecutor(threads) as pool:
        finished = pool.map(lambda one: _finish(one[2], one[1]), written)
        for (span, encoding, file), (size, digest) in zip(written, finished, strict=True):
            files[span.date].append(
                PartitionFile(span.date, span.number, encoding, file, span.rows, size, digest)
            )
    return files


def _sort(
    connection: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    table: Table,
    relation: str,
    days: Sequence[date | None],
) -> None:
    """Create a table with the rows in the order of the files, in which a part is a range of row numbers."""
    where = "false" if not days else "true"
    if days and dataset.day:
        listed = ", ".join(f"date '{day}'" for day in days)
        # The bounds let DuckDB skip blocks of rows by their statistics.
        where = (
            f"{quoted(dataset.day)} between date '{days[0]}' and date '{days[-1]}' and {quoted(dataset.day)}"
            f" in ({listed})"
        )
    order = ", ".join(map(quoted, dataset.order))
    connection.execute(
        f"create or replace table {SORTED} as select * from {relation} where {where} order by {order}"
    )
    # A last row that belongs to no part. Without a NULL in the table, DuckDB makes the column REQUIRED in
    # Parquet, and a day's bytes would depend on the days that are written with it.
    connection.execute(f"insert into {SORTED} select {', '.join('null' for _ in table.columns)}")


def _ranges(partitions: Mapping[date | None, Fingerprint]) -> Iterator[_Range]:
    """Yield the parts of all partitions, of nearly equal size within each."""
    first = 0
    for day, fingerprint in partitions.items():
        rows = fingerprint.rows
        parts = max(math.ceil(rows / PART_ROWS), math.ceil(fingerprint.text_bytes / PART_BYTES), 1)
        size = math.ceil(rows / parts)
        for number in range(parts):
            in_part = min(size, rows - number * size)
            if in_part > 0 or number == 0:
                yield _Range(day, number, first + number * size, max(in_part, 0))
        first += rows


def _read_back(
    connection: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    table: Table,
    written: Sequence[tuple[_Range, Format, Path]],
    expected: Mapping[date | None, Fingerprint],
) -> None:
    """Compare rows and sums of the files with those of the mart. Raises `ReadBackError`."""
    for encoding in SUFFIXES:
        own = [(span, file) for span, one, file in written if one == encoding]
        if not own:
            continue
        relation = read_function([file for _, file in own], encoding, table.columns, compressed=False)
        rows = dict(connection.execute(f"select filename, count(*) from {relation} group by 1").fetchall())
        totals = read_totals(connection, dataset, table.amounts, relation, "filename")
        for day, group in groupby(own, key=lambda one: one[0].date):
            files = [(span, str(file)) for span, file in group]
            found = [rows.get(file, 0) for _, file in files]
            sums: Totals = sum_totals(totals.get(file, {}) for _, file in files)
            if found != [span.rows for span, _ in files] or sums != expected[day].totals:
                raise ReadBackError(
                    f"{dataset.name}, {day or 'all rows'}: the {encoding} files have {sum(found):,} rows, the"
                    f" mart {expected[day].rows:,}, or their sums differ. They are not published. Run"
                    " again, and report a bug if it happens again."
                )


def _finish(file: Path, encoding: Format) -> tuple[int, str]:
    """Compress a CSV file in place, and return size and digest of the file."""
    if encoding == "csv":
        compress_in_place(file)
    return file.stat().st_size, sha256(file)
