"""Pulling what is new in a Postgres table: it lands as Parquet files, like files that a person lands.

Rows are read in the order of a cursor column, from some time before the last value on. Rows that have landed
as they are do not land again. After each file, the progress is written (`progress`). If a process is killed
at any time, the next pull continues after the last file.
"""

import math
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.landing.area import Landing
from ingestion.postgres_pull.block import PostgresPull
from ingestion.postgres_pull.progress import (
    Digests,
    Positions,
    Progress,
    read_progress,
    write_progress,
)
from ingestion.postgres_pull.server import Dsn, Reading, read_dsn, reading
from ingestion.postgres_pull.table import INTEGERS, Table, find_table
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.files import remove_partials, sha256
from paywall_warehouse.settings import Settings

ROWS_PER_FILE: Final = 500_000
# Larger row groups make smaller files; these are held in memory until they are written.
ROW_GROUP_ROWS: Final = 65_536
ROW_GROUP_BYTES: Final = 32 << 20
SHOWN_CURSOR = 40
Log = Callable[[str], None]


@dataclass
class PullResult:
    """The result of one pull."""

    source: str
    rows: int = 0
    """The number of landed rows."""
    files: list[str] = field(default_factory=list)
    """The landed files, relative to the landing area."""
    through: str | None = None
    """The cursor value up to which everything has landed, as Postgres writes it."""
    unchanged: int = 0
    """The number of rows in the look-back that had landed before."""
    without_cursor: int = 0
    """The number of rows that can never be pulled: the cursor is NULL or infinite."""
    missing_columns: tuple[str, ...] = ()
    """Columns that the mapping reads and the table does not have."""
    warnings: list[str] = field(default_factory=list)
    """What somebody should look at. They are not passed to `log`."""


def pull_postgres(
    settings: Settings,
    source_name: str,
    pull: PostgresPull,
    log: Log = lambda _: None,
    *,
    rows_per_file: int = ROWS_PER_FILE,
) -> PullResult:
    """Land the rows of a table that are new or have changed, in files of at most `rows_per_file` rows.

    Raises `PostgresRefusedError`, and `PostgresUnavailableError` if another try may help. What has landed
    before stays, and the next pull continues after it. No message contains the DSN.
    """
    dsn = read_dsn(pull.dsn_variable)
    landing = Landing.of(settings)
    if landing.is_local:
        remove_partials([Path(landing.root) / source_name])
    result = PullResult(source_name)
    with reading(dsn) as transaction:
        table = find_table(transaction, pull.dsn_variable, pull.table, pull.cursor, pull.key, pull.columns)
        result.missing_columns = table.missing
        _count_unusable(transaction, table, pull, result)
        end = _end(transaction, table)
        known = _known(settings, source_name, pull, dsn, table, end, log)
        job = _Job(settings, landing, source_name, table, pull.look_back.total_seconds(), rows_per_file, log)
        _land_rows(job, transaction, known, end, result)
    return result


def _count_unusable(transaction: Reading, table: Table, pull: PostgresPull, result: PullResult) -> None:
    (result.without_cursor,) = transaction.row(table.count_query)
    if result.without_cursor:
        result.warnings.append(
            f"{result.without_cursor:,} rows of {pull.table} are not pulled, because their {pull.cursor} is"
            " NULL or infinite. Set it in the table, or choose another cursor in the mapping"
        )


def _end(transaction: Reading, table: Table) -> tuple[float, str] | None:
    """Return the position and text beyond which no cursor value is remembered; None for an empty table."""
    position, text = transaction.row(table.end_query)
    return None if text is None else (position, text)


def _known(
    settings: Settings,
    source: str,
    pull: PostgresPull,
    dsn: Dsn,
    table: Table,
    end: tuple[float, str] | None,
    log: Log,
) -> Progress:
    """Return the progress to continue from, and write that of a pull that starts over.

    It is written before the first file lands, because file names contain the lineage: after a crash, the next
    pull recognizes the file.
    """
    origin = "|".join([dsn.place, dsn.schema or "", pull.table, pull.cursor])
    columns = tuple(column.name for column in table.columns)
    known = read_progress(settings.home, source, log)
    reason = None
    if known is None:
        reason = ""
    elif known.origin != origin:
        reason = "the database, the table or the cursor is another one"
    elif added := set(columns) - set(known.columns):
        reason = f"{', '.join(sorted(added))} is read for the first time"
    elif not table.is_timed and end is not None and end[0] < known.position - pull.look_back.total_seconds():
        # A table that was emptied or restored counts from the start, below everything that is read again.
        reason = f"{pull.cursor} ends at {end[1]}, before {known.through}, which has landed"
    elif known.columns == columns:
        return known
    if reason:
        log(f"{source}: the whole table lands again, because {reason}")
    known = Progress(origin, columns) if known is None or reason else _with_columns(known, columns)
    write_progress(settings.home, source, known)
    return known


def _with_columns(known: Progress, columns: tuple[str, ...]) -> Progress:
    """Return the progress after columns were left out: rows of the look-back land once more."""
    return Progress(known.origin, columns, known.lineage, known.files, known.through, known.position)


@dataclass(frozen=True)
class _Job:
    """What stays the same during a pull."""

    settings: Settings
    landing: Landing
    source: str
    table: Table
    units: float
    """The look-back: seconds, or 1 of a number."""
    rows_per_file: int
    log: Log


def _land_rows(
    job: _Job, transaction: Reading, before: Progress, end: tuple[float, str] | None, result: PullResult
) -> None:
    """Land the rows that have not landed as they are, and write the progress after each file."""
    progress, seen, last = before, _Seen(), None
    query = job.table.query(before.through, job.units)
    # With one thread, DuckDB returns the digests in the order of the rows.
    with open_duckdb(config={"threads": 1}) as connection, _StagedFiles(job) as staged:
        for batch in transaction.batches(query):
            digests, positions, texts = _describe(connection, batch)
            is_new = ~before.contains(digests)
            result.unchanged += batch.num_rows - int(is_new.sum())
            start = 0
            while start < batch.num_rows:
                rows = start + np.flatnonzero(is_new[start:])[: job.rows_per_file - staged.rows]
                is_full = staged.rows + len(rows) == job.rows_per_file
                stop = int(rows[-1]) + 1 if is_full else batch.num_rows
                if len(rows):
                    staged.add(
                        batch.take(pa.array(rows)), texts[int(rows[0])].as_py(), texts[int(rows[-1])].as_py()
                    )
                seen.add(digests[start:stop], positions[start:stop])
                last = float(positions[stop - 1]), texts[stop - 1].as_py()
                if is_full:
                    staged.land(progress, result)
                    progress = before.advanced(
                        _earlier(last, end), seen.all(), last[0], job.units, progress.files + 1
                    )
                    write_progress(job.settings.home, job.source, progress)
                    seen.forget(progress.position - job.units)
                start = stop
        has_rest = staged.rows > 0
        if has_rest:
            staged.land(progress, result)
    through = _earlier(last, end) if last is not None else (-math.inf, None)
    final = before.advanced(through, seen.all(), math.inf, job.units, progress.files + has_rest)
    if not final.is_same(progress):
        write_progress(job.settings.home, job.source, final)
    result.through = final.through


def _earlier(last: tuple[float, str], end: tuple[float, str] | None) -> tuple[float, str]:
    return last if end is None or last[0] <= end[0] else end


def _describe(connection: duckdb.DuckDBPyConnection, batch: Any) -> tuple[Digests, Positions, Any]:
    """Return a digest and the cursor position of each row, and the texts of the cursor."""
    hashed = [name for name in batch.schema.names if name not in ("cursor_position", "cursor_text")]
    digests = connection.from_arrow(pa.Table.from_batches([batch])).project(
        f"hash({', '.join(hashed)}) as digest"
    )
    return (
        np.asarray(digests.fetchnumpy()["digest"], np.uint64),
        batch.column("cursor_position").to_numpy(zero_copy_only=False),
        batch.column("cursor_text"),
    )


class _Seen:
    """The rows that a pull has seen and that may be in the look-back of the next one."""

    def __init__(self) -> None:
        self._digests: list[Digests] = [np.empty(0, np.uint64)]
        self._positions: list[Positions] = [np.empty(0, np.float64)]

    def add(self, digests: Digests, positions: Positions) -> None:
        """Add rows."""
        self._digests.append(digests)
        self._positions.append(positions)

    def all(self) -> tuple[Digests, Positions]:
        """Return the digests and positions of all rows."""
        return np.concatenate(self._digests), np.concatenate(self._positions)

    def forget(self, before: float) -> None:
        """Forget rows before a position."""
        digests, positions = self.all()
        is_kept = positions >= before
        self._digests, self._positions = [digests[is_kept]], [positions[is_kept]]


class _StagedFiles:
    """The file that is being written, beside the landing area; the next one begins when it has landed."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        names = [column.name for column in job.table.columns]
        self._schema = pa.schema(
            [
                (name, _arrow_type(column.type_name))
                for name, column in zip(names, job.table.columns, strict=True)
            ]
        )
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[Any] = []
        self._exit = ExitStack()
        self._path = Path()
        self._first = self._last = ""
        self.rows = 0

    def __enter__(self) -> "_StagedFiles":
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def add(self, batch: Any, first: str, last: str) -> None:
        """Add rows, with the cursor values of the first and the last."""
        if self._writer is None:
            self._path = self._exit.enter_context(self._job.landing.staging())
            self._writer = self._exit.enter_context(
                pq.ParquetWriter(self._path, self._schema, compression="zstd")
            )
            self._first = first
        self._last = last
        self.rows += batch.num_rows
        columns = batch.columns[: len(self._schema)]
        self._pending.append(pa.record_batch(columns, schema=self._schema))
        if (
            sum(one.num_rows for one in self._pending) >= ROW_GROUP_ROWS
            or sum(one.nbytes for one in self._pending) >= ROW_GROUP_BYTES
        ):
            self._write_group()

    def land(self, progress: Progress, result: PullResult) -> None:
        """Finish the file and put it into the landing area."""
        job = self._job
        self._write_group()
        assert self._writer is not None
        self._writer.close()
        name = (
            f"{_compact(self._first)}_{_compact(self._last)}"
            f"-{progress.lineage}-{progress.files:06d}-{sha256(self._path)[:8]}.parquet"
        )
        path = f"{job.source}/{name}"
        location = f"{job.landing.root}/{path}"
        job.landing.filesystem.invalidate_cache(location)
        # A pull that was killed before it wrote its progress has landed the same rows under the same name.
        if not job.landing.filesystem.exists(location):
            job.landing.put(path, self._path)
        job.log(f"{job.source}: {self.rows:,} rows landed, {self._first} to {self._last}")
        result.files.append(path)
        result.rows += self.rows
        self._exit.close()
        self._writer, self.rows = None, 0

    def _write_group(self) -> None:
        if self._pending and self._writer is not None:
            self._writer.write_table(pa.Table.from_batches(self._pending, self._schema))
            self._pending = []


def _arrow_type(type_name: str) -> Any:
    """Return the type of a column in the files; the SQL of `table` returns the same."""
    if type_name in INTEGERS:
        return pa.int64()
    types = {
        "bool": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", tz="UTC"),
    }
    return types.get(type_name, pa.string())


def _compact(cursor: str) -> str:
    """Return a cursor value for a file name: `20261101T101500Z`."""
    text = cursor.replace(" ", "T").removesuffix("+00")
    if "T" in text or re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        text = re.sub("[-:]", "", text) + ("Z" if cursor.endswith("+00") else "")
    return text[:SHOWN_CURSOR]
