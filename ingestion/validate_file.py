"""Validation of files before they land: what a load would accept, reject and not read.

The readers and rules are those of a load. The file is read in a temporary landing area, so that neither a
home nor a run is needed, and nothing stays.
"""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.lake.schemas import LAKE_TABLES, ORIGIN
from ingestion.landing.area import Landing, LandingFile
from ingestion.readers.inspection import DAMAGE, UnreadableFileError, missing_columns
from ingestion.readers.text import csv_records, open_text
from ingestion.sources.registry import SOURCES, Source
from ingestion.staging.batch import stage_batch
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings

ENTRIES_SHOWN = 3
FIRST_LINES = 5
# The records whose keys are looked at: later ones of a JSONL file may have further keys.
SAMPLE_RECORDS, SAMPLE_BYTES = 1_000, 4 << 20


class FileValidationError(Exception):
    """A file that cannot be validated. The message says why and what to do."""


@dataclass(frozen=True)
class RejectReason:
    """The rejected records of a file with one code."""

    code: str
    records: int
    first_lines: tuple[int, ...]
    """Empty if the whole file is refused."""
    first_reason: str


@dataclass(frozen=True)
class FileValidation:
    """What a load would make of a file."""

    path: Path
    source: str
    is_guessed: bool
    """Whether the source follows from the names of the columns, not from the folder or the caller."""
    records: int
    accepted: int
    rejected: int
    reasons: tuple[RejectReason, ...]
    """The most frequent one first."""
    unread: tuple[str, ...]
    """Columns that nothing reads, by name."""
    keeps_unread: bool
    """Whether their values are kept in `metadata.extra`; otherwise they are dropped."""
    first: tuple[dict[str, str], ...]
    """The first accepted records: the columns that have a value, as text."""


def validate_file(settings: Settings, path: Path, source_name: str | None = None) -> FileValidation:
    """Return what a load would make of a file of a source.

    Without `source_name`, the source follows from the folder, as in `landing/ledger/a.jsonl`, or else from
    the columns. `settings` decide about amounts, times and currencies as in a load. Raises
    `FileValidationError`.
    """
    if not path.is_file():
        raise FileValidationError(f"{path} is not a file")
    names = column_names(path)
    source, place = (SOURCES[source_name], None) if source_name else _source_of_folder(path)
    is_guessed = source is None
    if source is None:
        source = _source_of_columns(path, names)
    with TemporaryDirectory(prefix="paywall-warehouse-check-") as folder:
        own = settings.model_copy(update={"warehouse_home": Path(folder), "landing_uri": None})
        place = place or f"{_folder_of(source)}/{path.name}"
        if not source.reads(place):
            raise FileValidationError(
                f"{path} would not be read as {source.name}: its name is that of other files. Markups have"
                " a name such as markups.csv, rates any other"
            )
        landed = own.home.landing / place
        landed.parent.mkdir(parents=True)
        _link(path, landed)
        staging = Path(folder) / "staging"
        staging.mkdir()
        staged = stage_batch(own, source, source.files(Landing.of(own)), staging)
        if staged.manifest is None or not staged.manifest.files:
            raise FileValidationError(f"{path} would not be read: its name says that it is not finished")
        [record] = staged.manifest.files
        with open_duckdb(config=own.duckdb_config()) as connection:
            reasons = _reasons(connection, staging)
            first = _first_accepted(connection, staging, source)
    return FileValidation(
        path=path,
        source=source.name,
        is_guessed=is_guessed,
        records=record.records,
        accepted=record.accepted,
        rejected=record.rejected,
        reasons=reasons,
        unread=tuple(name for name in names if name not in source.layout.columns),
        # Of a webhook, unknown fields are kept only if they are in `data`, which has no columns here.
        keeps_unread=source.name == "ledger",
        first=first,
    )


def column_names(path: Path) -> list[str]:
    """Return the names of the columns of a file: its header, or the keys of its first records.

    They are empty if the file cannot be read; a load says why.
    """
    file = LandingFile("", path.name, str(path), path.stat().st_size, 0, "")
    try:
        if file.format == ".parquet":
            return list(pq.read_schema(path).names)
        with open_text(path, file.compression) as stream:
            if file.format == ".csv":
                return next(csv_records(stream)).fields
            lines = stream.read(SAMPLE_BYTES).split(b"\n")[:SAMPLE_RECORDS]
        return list(dict.fromkeys(key for line in lines for key in _keys(line)))
    except (*DAMAGE, ValueError, StopIteration, pa.ArrowException, UnreadableFileError):
        return []


def _keys(line: bytes) -> Sequence[str]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return ()
    return list(record) if isinstance(record, dict) else ()


def _source_of_folder(path: Path) -> tuple[Source | None, str | None]:
    """Return the source whose folder the file lies in, and its place in the landing area."""
    parts = path.resolve().parts
    for number in range(len(parts) - 2, 0, -1):
        place = "/".join(parts[number:])
        for source in SOURCES.values():
            if source.folder == parts[number] and source.reads(place):
                return source, place
    return None, None


def _source_of_columns(path: Path, names: Sequence[str]) -> Source:
    """Return the source that knows most of the columns, of those whose required columns are there."""
    fitting = [source for source in SOURCES.values() if not missing_columns(names, source.layout)]
    if fitting:
        return max(fitting, key=lambda source: len(set(source.layout.columns) & set(names)))
    if not names:
        raise FileValidationError(f"{path} has no columns that can be read; name its source with --as")
    nearest = max(SOURCES.values(), key=lambda source: len(set(source.layout.columns) & set(names)))
    lacking = ", ".join(" or ".join(one) for one in missing_columns(names, nearest.layout))
    raise FileValidationError(
        f"{path} has the columns of no source (found: {', '.join(names)[:500]}). The nearest is"
        f" {nearest.name}, which also needs {lacking}. Rename the columns as docs/inputs.md says, or name the"
        " source with --as"
    )


def _folder_of(source: Source) -> str:
    """Return the folder of a source; for a report of Stripe's, of its newest version."""
    report = source.stripe_report
    return source.folder if report is None else f"{source.folder}/{report.newest_folder}"


def _link(path: Path, landed: Path) -> None:
    try:
        os.link(path.resolve(), landed)
    except OSError:  # another file system
        shutil.copyfile(path, landed)


def _reasons(connection: duckdb.DuckDBPyConnection, staging: Path) -> tuple[RejectReason, ...]:
    files = [str(file) for file in sorted((staging / "rejects").glob("*.parquet"))]
    if not files:
        return ()
    rows = connection.execute(
        f"""select reason_code, count(*), list(line order by line)[:{FIRST_LINES}],
            first(reason order by line)
        from read_parquet($files) group by reason_code order by count(*) desc, reason_code""",
        {"files": files},
    ).fetchall()
    return tuple(
        RejectReason(code, records, tuple(line for line in lines if line is not None), reason)
        for code, records, lines, reason in rows
    )


def _first_accepted(
    connection: duckdb.DuckDBPyConnection, staging: Path, source: Source
) -> tuple[dict[str, str], ...]:
    files = [str(file) for file in sorted((staging / source.table).glob("*.parquet"))]
    if not files:
        return ()
    columns = [name for name in LAKE_TABLES[source.table] if name not in ORIGIN]
    found = connection.execute(
        f"""select {", ".join(f'"{name}"::varchar' for name in columns)} from read_parquet($files)
        where not is_outside order by line limit {ENTRIES_SHOWN}""",
        {"files": files},
    ).fetchall()
    return tuple(
        {name: value for name, value in zip(columns, row, strict=True) if value is not None} for row in found
    )
