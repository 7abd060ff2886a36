"""Slices and their pages: which rows they are, their digest, and the file in which they are sent."""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import duckdb

from exports.encoding import copy_statement, select_list
from exports.filters import Filter, all_of
from exports.server.answers import ApiError
from exports.server.cursors import Digest, Position
from exports.server.deadlines import Deadline
from exports.server.parameters import RowsRequest
from exports.server.publications import Publication
from exports.server.scope import View
from paywall_warehouse.quoting import quoted

PAGE, BEFORE, COMPUTED = "temp.main.page_rows", "temp.main.rows_before", "temp.main.computed_rows"
# Text of more rows is written in parts. A million rows of the ledger at once need more than 256 MB.
PART_ROWS = 100_000
COPIED_BYTES = 1 << 20


@dataclass(frozen=True)
class Rows:
    """Some rows of a table. They are valid on one cursor."""

    relation: str
    """The table (SQL), whose rows have a `rowid`."""
    where: str
    """The condition on the rows (SQL)."""
    values: list[Any]

    def numbered(self, begin: int, end: int) -> "Rows":
        """Return the rows of `PAGE` with these numbers, without the last.

        `rowid` of a temporary table counts from 0, in the order of insertion.
        """
        condition = f"rowid in (select row_id from {PAGE} where rowid >= {begin} and rowid < {end})"
        return Rows(self.relation, condition, [])


@dataclass(frozen=True)
class Page:
    """The rows of one response: a whole slice, or a page of it."""

    request: RowsRequest
    view: View
    rows: Rows
    digest: Digest
    next: Position | None
    """Where the next page begins; None for the last one."""
    is_numbered: bool = False
    """Whether `PAGE` has the rows in their order."""

    @property
    def parts(self) -> list[Rows]:
        """The rows of each part."""
        if not self.is_numbered or self.request.encoding == "parquet":
            return [self.rows]
        return [
            self.rows.numbered(begin, min(begin + PART_ROWS, self.digest.rows))
            for begin in range(0, max(self.digest.rows, 1), PART_ROWS)
        ]

    @property
    def etag(self) -> str:
        """The revision of the rows and their format."""
        return f'"{self.digest.revision(self.request.shape)}.{self.request.encoding}"'


def find_page(
    cursor: duckdb.DuckDBPyConnection,
    publication: Publication,
    view: View,
    scope_digest: str,
    request: RowsRequest,
    start: Position | None,
    most_rows: int,
) -> Page:
    """Return the page of a request that begins at `start`, or with the first row.

    Raises `ApiError`: 400 for a cursor of another slice, 409 if the rows that were read before are restated,
    413 for too many rows.
    """
    slice_digest = _sha256([scope_digest, request.digest])
    shape, seen = _sha256(request.shape), _sha256(str(publication.identity))
    wanted = request.limit or most_rows + 1
    begin = start.read if start else Digest()
    rows = _rows(cursor, view, request, begin.rows + wanted + 1)
    if start is not None:
        if start.slice != slice_digest:
            message = (
                "cursor: it belongs to another slice; allowed: the parameters of the page that it is from"
            )
            raise ApiError(400, message)
        is_read = start.shape == shape and (
            start.publication == seen
            or _first_rows(cursor, view, rows, request, start.read.rows) == start.read
        )
        if not is_read:
            raise ApiError(
                409, "the rows that were read so far have been restated meanwhile; begin again without cursor"
            )
    if start is None and request.limit is None:
        digest = _digest(cursor, rows, request)
        _check_rows(digest.rows, most_rows)
        if is_large := digest.rows > PART_ROWS:
            _number_rows(cursor, PAGE, view, rows, digest.rows, 0)
        return Page(request, view, rows, digest, None, is_large)
    found = _number_rows(cursor, PAGE, view, rows, wanted + 1, begin.rows)
    if request.limit is None:
        _check_rows(found, most_rows)
    page_rows = rows.numbered(0, wanted)
    digest = _digest(cursor, page_rows, request)
    after = Position(slice_digest, shape, seen, begin.plus(digest)) if found > wanted else None
    return Page(request, view, page_rows, digest, after, True)


def write_page(
    cursor: duckdb.DuckDBPyConnection, page: Page, folder: Path, deadline: Deadline
) -> tuple[BinaryIO, int]:
    """Write the rows to a file without a name, and return the open file and its size.

    DuckDB sorts within its memory limit, and no row waits for a slow client.
    """
    # It has no name on the disk, and goes with its last reader.
    opened: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    part = folder / f"{uuid4().hex}.part"
    try:
        for number, rows in enumerate(page.parts):
            with deadline.watching(cursor, part):
                cursor.execute(_copy(page, rows, str(part)), rows.values)
            with part.open("rb") as written:
                if number and page.request.encoding == "csv":
                    written.readline()  # the header
                shutil.copyfileobj(written, opened, COPIED_BYTES)
            opened.flush()
            if (size := os.fstat(opened.fileno()).st_size) > deadline.file_bytes:
                raise deadline.too_large()
        return opened, size
    except BaseException:
        opened.close()
        raise
    finally:
        part.unlink(missing_ok=True)


def _copy(page: Page, rows: Rows, file: str) -> str:
    """Return the statement (SQL) that writes some of the rows."""
    dataset, encoding = page.view.dataset, page.request.encoding
    order = ", ".join(f"slice.{quoted(name)}" for name in dataset.order)
    query = (
        f"select {select_list(page.request.columns, encoding, whole_seconds=dataset.whole_seconds)}"
        f" from (select * from {rows.relation} where {rows.where}) as slice order by {order}"
    )
    return copy_statement(query, file, encoding)


def _rows(cursor: duckdb.DuckDBPyConnection, view: View, request: RowsRequest, limit: int) -> Rows:
    """Return the rows that a request and the token's scope allow.

    Of a view, the first ones up to `limit` are computed and kept in a temporary table.
    """
    where, values = all_of([Filter(view.condition, ()), *request.conditions])
    if not view.is_computed:
        return Rows(view.dataset.relation, where, values)
    columns = dict.fromkeys([*view.dataset.order, *(column.name for column in request.columns)])
    order = ", ".join(map(quoted, view.dataset.order))
    cursor.execute(
        f"create or replace temp table {COMPUTED.rpartition('.')[2]} as"
        f" select {', '.join(map(quoted, columns))} from {view.dataset.relation}"
        f" where {where} order by {order} limit {limit}",
        values,
    )
    return Rows(COMPUTED, "true", [])


def _first_rows(
    cursor: duckdb.DuckDBPyConnection, view: View, rows: Rows, request: RowsRequest, number: int
) -> Digest:
    """Return the digest of the first rows of a slice."""
    _number_rows(cursor, BEFORE, view, rows, number, 0)
    return _digest(cursor, Rows(rows.relation, f"rowid in (select row_id from {BEFORE})", []), request)


def _number_rows(
    cursor: duckdb.DuckDBPyConnection, table: str, view: View, rows: Rows, limit: int, offset: int
) -> int:
    """Write the ids of some rows to a temporary table, in the order of the dataset, and return their number.

    Ids, because to sort whole rows for each page would take ten times as long.
    """
    order = ", ".join(map(quoted, view.dataset.order))
    cursor.execute(
        f"create or replace temp table {table.rpartition('.')[2]} as select rowid as row_id"
        f" from {rows.relation} where {rows.where} order by {order} limit {limit} offset {offset}",
        rows.values,
    )
    return int(cursor.execute(f"select count(*) from {table}").fetchall()[0][0])


def _digest(cursor: duckdb.DuckDBPyConnection, rows: Rows, request: RowsRequest) -> Digest:
    """Return the digest of the requested columns of some rows."""
    names = ", ".join(quoted(column.name) for column in request.columns)
    return digest_of(
        cursor.execute(
            f"select count(*), sum(hash({names})), bit_xor(hash({names})) from {rows.relation}"
            f" where {rows.where}",
            rows.values,
        ).fetchall()[0]
    )


def digest_of(row: tuple[Any, ...]) -> Digest:
    """Return the digest that DuckDB computed: the number, the sum and the XOR of hashes."""
    rows, summed, mixed = row
    return Digest(int(rows), int(summed or 0), int(mixed or 0))


def _check_rows(rows: int, most_rows: int) -> None:
    if rows > most_rows:
        raise ApiError(
            413,
            f"the slice has more than {most_rows} rows; state limit and follow Link, or request fewer days",
        )


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
