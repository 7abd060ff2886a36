"""One landing folder to one batch in the lake: what is new, read, judged, typed, written, committed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from ingestion import events, ledger, prices, reasons
from ingestion.inspection import Layout, UnreadableFileError, check_readable, sha256
from ingestion.lake import LOADED, UNREADABLE, FileRecord, Lake, Manifest
from ingestion.landing import Landing, LandingFile
from ingestion.sources import LocalFile, record_texts
from ingestion.sql import define_macros, literal
from ingestion.tables import LAKE_TABLES, typed
from paywall_warehouse.settings import Settings

# Judged records lie in memory until they are written. All 10 M of a load at once spilled to the disk and took 95 s.
PORTION_BYTES = 256 << 20


@dataclass(frozen=True)
class Source:
    """A folder of the landing area and the lake's table for it."""

    folder: str
    table: str
    layout: Layout
    records_sql: Callable[[str], str]
    states_entry: str
    """SQL: whether an accepted record states a ledger entry."""
    has_models: bool = False


SOURCES = {
    "ledger": Source("ledger", "ledger_entries", ledger.LAYOUT, ledger.records_sql, "true", has_models=True),
    "events": Source("events", "webhook_events", events.LAYOUT, events.records_sql, "states_entry", has_models=True),
    "prices": Source("prices", "provider_rates", prices.LAYOUT, prices.records_sql, "false"),
}


class LandingFileChangedError(Exception):
    """A file was written to while it was read; the next run reads it again."""


@dataclass(frozen=True)
class LoadResult:
    """What a load did; `batch_seq` is None where nothing was new."""

    source: str
    batch_seq: int | None = None
    files: int = 0
    records: int = 0
    accepted: int = 0
    rejected: int = 0
    warnings: list[str] = field(default_factory=list)


def load(settings: Settings, source_name: str) -> LoadResult:
    """Load every file of one landing folder that is new since the last batch, as one batch.

    Files are known by their content: the same bytes under another name are loaded once, a known name with new bytes is
    loaded and warned about. Unreadable files are tried again each time and become a reject once. Raises
    `LandingFileChangedError` where a file changed while it was read; then nothing is committed.
    """
    source = SOURCES[source_name]
    with settings.home.writing():
        lake = Lake(settings.home)
        lake.remove_orphans()
        landing = Landing.of(settings)
        with ExitStack() as copies:
            found = _find_new(lake, landing, source, copies)
            if not found.readable and not found.unreadable:
                return LoadResult(source.folder, warnings=found.warnings)
            with lake.writing_aside() as aside:
                manifest = _write_batch(settings, lake, landing, source, found, aside)
                lake.commit(manifest, aside)
    return LoadResult(
        source=source.folder,
        batch_seq=manifest.batch_seq,
        files=len(manifest.files),
        records=manifest.records,
        accepted=manifest.records - manifest.rejected,
        rejected=manifest.rejected,
        warnings=found.warnings,
    )


@dataclass
class _Found:
    readable: list[tuple[LocalFile, str]] = field(default_factory=list)
    unreadable: list[tuple[LandingFile, str | None, UnreadableFileError]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def _find_new(lake: Lake, landing: Landing, source: Source, copies: ExitStack) -> _Found:
    known = [file for manifest in lake.manifests() for file in manifest.files if file.source == source.folder]
    loaded = {file.sha256 for file in known if file.status == LOADED}
    by_path = {file.path: file for file in known}
    seen = {(file.path, file.fingerprint) for file in known if file.status == LOADED}
    refused = {(file.path, file.sha256) for file in known if file.status == UNREADABLE}
    found = _Found()
    for file in landing.files(source.folder):
        if (file.path, file.fingerprint) in seen:
            continue
        digest = None
        # What fails on the way to a file is not the file's fault; it ends the load, which may be tried again.
        path = copies.enter_context(landing.local_copy(file))
        try:
            digest = sha256(path)
            if digest in loaded:
                continue
            check_readable(file, path, source.layout)
        except UnreadableFileError as error:
            problem = error
        except OSError as error:
            problem = UnreadableFileError(reasons.UNREADABLE_FILE, f"the file cannot be opened ({error.strerror or error}); mend that")
        else:
            if file.path in by_path:
                found.warnings.append(f"{file.path} has new content under a known name; it is loaded as a new file")
            loaded.add(digest)
            found.readable.append((LocalFile(len(found.readable), file, path), digest))
            continue
        if (file.path, digest) not in refused:
            found.unreadable.append((file, digest, problem))
    return found


def _write_batch(settings: Settings, lake: Lake, landing: Landing, source: Source, found: _Found, aside: Path) -> Manifest:
    batch_seq = lake.next_batch()
    loaded_at = datetime.now(UTC)
    data, rejects = aside / source.table, aside / "rejects"
    counts: dict[int, tuple[int, int, int]] = {}
    models: set[str] = set()
    with duckdb.connect(config=settings.duckdb_config()) as connection:
        define_macros(connection)
        _create_rejects(connection)
        for part, files in enumerate(_portions([file for file, _ in found.readable])):
            data.mkdir(exist_ok=True)
            texts = record_texts(connection, files, source.layout)
            connection.execute(f"create or replace temp table judged as {source.records_sql(texts)}")
            columns = typed(LAKE_TABLES[source.table])
            connection.execute(
                f"copy (select {columns} from (select *, {batch_seq} as batch_seq from judged) where reject_code is null)"
                f" to {literal(str(data / f'part-{part:05d}.parquet'))} (format parquet, compression zstd)"
            )
            connection.execute(
                "insert into rejects select file_no, line, reject_code, reject_words, reject_raw from judged where reject_code is not null"
            )
            counts |= _counts(connection, source)
            if source.has_models:
                named = "select distinct model from judged where reject_code is null and model is not null"
                models |= {model for (model,) in connection.execute(named).fetchall()}
        records = [_loaded(file, digest, counts) for file, digest in found.readable]
        for number, (file, digest, problem) in enumerate(found.unreadable, len(records)):
            records.append(_unreadable(number, file, digest))
            connection.execute("insert into rejects values (?, null, ?, ?, null)", [number, problem.code, problem.words])
        _write_rejects(connection, source, batch_seq, records, loaded_at, rejects)
    for local, _ in found.readable:
        if not landing.is_unchanged(local.file):
            raise LandingFileChangedError(f"{local.file.path} changed while it was read; it is loaded by the next run")
    return Manifest(batch_seq=batch_seq, table=source.table, loaded_at=loaded_at, files=records, models=sorted(models))


def _portions(files: Sequence[LocalFile]) -> Iterator[list[LocalFile]]:
    """The files in portions that are judged in memory, in their order."""
    portion: list[LocalFile] = []
    size = 0
    for file in files:
        if portion and size + file.file.bytes > PORTION_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(file)
        size += file.file.bytes
    if portion:
        yield portion


def _create_rejects(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create temp table rejects (file_no bigint, line bigint, reason_code varchar, reason varchar, raw varchar)")


def _counts(connection: duckdb.DuckDBPyConnection, source: Source) -> dict[int, tuple[int, int, int]]:
    """Records, rejected records and records that state an entry, by the file's number."""
    rows = connection.execute(
        f"""select file_no, count(*), count(reject_code), count(*) filter (where reject_code is null and {source.states_entry})
        from judged group by file_no"""
    ).fetchall()
    return {file_no: (records, rejected, entries) for file_no, records, rejected, entries in rows}


def _loaded(local: LocalFile, digest: str, counts: dict[int, tuple[int, int, int]]) -> FileRecord:
    records, rejected, entries = counts.get(local.file_no, (0, 0, 0))
    return FileRecord(
        file_no=local.file_no,
        source=local.file.source,
        path=local.file.path,
        sha256=digest,
        fingerprint=local.file.fingerprint,
        bytes=local.file.bytes,
        status=LOADED,
        records=records,
        accepted=records - rejected,
        rejected=rejected,
        entry_records=entries,
    )


def _unreadable(file_no: int, file: LandingFile, digest: str | None) -> FileRecord:
    return FileRecord(
        file_no=file_no,
        source=file.source,
        path=file.path,
        sha256=digest,
        fingerprint=file.fingerprint,
        bytes=file.bytes,
        status=UNREADABLE,
        records=1,
        accepted=0,
        rejected=1,
        entry_records=0,
    )


def _write_rejects(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    batch_seq: int,
    files: Sequence[FileRecord],
    loaded_at: datetime,
    folder: Path,
) -> None:
    (count,) = connection.execute("select count(*) from rejects").fetchone() or (0,)
    if not count:
        return
    folder.mkdir()
    connection.execute("create temp table paths (file_no bigint, path varchar)")
    connection.executemany("insert into paths values (?, ?)", [[file.file_no, file.path] for file in files])
    connection.execute(
        f"""copy (
            select {batch_seq}::bigint as batch_seq, {literal(source.folder)} as source, path, line, reason_code, reason, raw,
                {literal(loaded_at.isoformat())}::timestamptz as first_seen_at
            from rejects join paths using (file_no) order by path, line
        ) to {literal(str(folder / "part-00000.parquet"))} (format parquet, compression zstd)"""
    )
