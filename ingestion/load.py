"""One landing folder to one batch in the lake: what is new, read, judged, typed, written, committed."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

import duckdb

from ingestion.erasure.erase import finish_erasures, pseudonymise
from ingestion.lake.batches import LOADED, UNREADABLE, FileRecord, Lake, Manifest
from ingestion.lake.commit import commit, stated
from ingestion.lake.erasures import read_registry
from ingestion.lake.rejects import OUTSIDE, REJECTS, create_rejects, write_rejects
from ingestion.lake.row_limits import RowLimits
from ingestion.lake.schemas import LAKE_TABLES, typed
from ingestion.landing.area import Landing, LandingFile
from ingestion.readers.inspection import Layout, UnreadableFileError, check_openable, check_readable, damaged
from ingestion.readers.parquet import check_parquet
from ingestion.readers.records import LocalFile, record_texts, usual_keys
from ingestion.receiver.segments import seal_local
from ingestion.sources import ledger, payments, prices, webhooks
from ingestion.sources.stripe import records as stripe_records
from ingestion.sources.stripe.coverage import FileFacts, facts_of, unknown_time_zone
from ingestion.sources.stripe.reports import FOLDER, STRIPE_REPORTS, StripeReport, check_report_type, owner_of
from ingestion.validation import reject_codes
from ingestion.validation.macros import define_macros
from paywall_warehouse.files import sha256
from paywall_warehouse.quoting import file_literal, literal
from paywall_warehouse.settings import Settings
from warehouse.build_file import copy_ahead

One = TypeVar("One")
# What one Parquet file of a batch is made of; it is written again where a record of it was rejected.
PORTION_BYTES = 1 << 30
# A group of the usual 120,000 records with 64 KiB of metadata each is 8 GB; one thread with groups like these
# needs less than 1 GB.
SMALL_GROUPS = ", row_group_size 2048"
# What a worker has prepared is taken up again within a day, or not at all.
PREPARED_SECONDS = 86_400
# What DuckDB raises over what it reads. Faults of a disk are none of a file's and end the load.
BEYOND_DUCKDB = (
    duckdb.DataError,
    duckdb.NotSupportedError,
    duckdb.InvalidInputException,
    duckdb.OutOfMemoryException,
)


@dataclass(frozen=True)
class Source:
    """What lands in a folder of the landing area, and the lake's table for it."""

    name: str
    """As `ops.loaded_files` and `ops.rejected_records` show it."""
    folder: str
    table: str
    layout: Layout
    records_sql: Callable[[str], str]
    has_models: bool = False
    stripe: StripeReport | None = None
    """Of Stripe's folder only the files of this family."""

    def files(self, landing: Landing) -> list[LandingFile]:
        """The finished files of this source, in the order in which they landed."""
        found = landing.files(self.folder)
        if self.stripe is not None:
            found = [file for file in found if owner_of(file.path) is self.stripe]
        return [replace(file, source=self.name) for file in found]


def _stripe_source(stripe_report: StripeReport) -> Source:
    sql = partial(stripe_records.records_sql, stripe_report)
    return Source(
        f"{FOLDER}/{stripe_report.name}",
        FOLDER,
        stripe_report.table,
        stripe_report.layout,
        sql,
        stripe=stripe_report,
    )


SOURCES = {
    source.name: source
    for source in (
        Source("ledger", "ledger", "ledger_entries", ledger.LAYOUT, ledger.records_sql, has_models=True),
        Source("events", "events", "webhook_events", webhooks.LAYOUT, webhooks.records_sql, has_models=True),
        Source("prices", "prices", "provider_rates", prices.LAYOUT, prices.records_sql),
        Source("payments", "payments", "rail_payments", payments.LAYOUT, payments.records_sql),
        *map(_stripe_source, STRIPE_REPORTS),
    )
}


def landed_files(landing: Landing) -> Iterator[LandingFile]:
    """The finished files of all sources."""
    for source in SOURCES.values():
        yield from source.files(landing)


class LandingFileChangedError(Exception):
    """A file was written to or removed while it was read; the next run looks again."""


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

    Files are known by their content: the same bytes under another name are loaded once, a known name with new
    bytes is loaded and warned about. Unreadable files are tried again each time and become a reject once.
    Raises `LandingFileChangedError` where a file changed or went while it was read; then nothing is
    committed.
    """
    source = SOURCES[source_name]
    with settings.home.writing():
        lake = Lake(settings.home)
        with settings.home.without_workers(wait=False) as alone:
            if alone:
                lake.remove_orphans(keep_prepared=PREPARED_SECONDS)
        finish_erasures(settings)
        landing = Landing.of(settings)
        warnings: list[str] = []
        if source.name == "events":
            # What the receiver has acknowledged until now belongs to this run.
            seal_local(landing, warnings.append)
        while True:
            with lake.staging() as staging_dir:
                # Where anything is new a build will follow.
                made = make_batch(
                    settings,
                    source,
                    source.files(landing),
                    staging_dir,
                    begin=lambda: copy_ahead(settings.home),
                )
                if made.manifest is None:
                    return LoadResult(source.name, warnings=warnings + made.warnings)
                if committed := commit(settings, made.manifest, made.seen_through, staging_dir):
                    return loaded(source, committed, warnings + made.warnings)


def loaded(source: Source, manifest: Manifest, warnings: list[str]) -> LoadResult:
    """What a batch brought."""
    return LoadResult(
        source=source.name,
        batch_seq=manifest.batch_seq,
        files=len(manifest.files),
        records=manifest.records,
        accepted=manifest.records - manifest.rejected,
        rejected=manifest.rejected,
        warnings=warnings,
    )


@dataclass(frozen=True)
class StagedBatch:
    """A batch that is finished aside, and waits for its number and its place."""

    manifest: Manifest | None
    """None where nothing was new."""
    seen_through: int
    """The last batch that was known when it was decided what is new."""
    warnings: list[str]


def make_batch(
    settings: Settings,
    source: Source,
    files: Sequence[LandingFile],
    staging_dir: Path,
    *,
    number: int | None = None,
    begin: Callable[[], None] = lambda: None,
) -> StagedBatch:
    """Read, judge and write what is new of some files; `number` is the one that the batch will probably get.

    `begin` is called where anything is new. The caller holds the writer lock or is a worker: nobody erases
    meanwhile.
    """
    lake, landing = Lake(settings.home), Landing.of(settings)
    seen_through = lake.next_batch() - 1
    manifests = lake.manifests()
    known = [file for manifest in manifests for file in manifest.files if file.source == source.name]
    seen = {(file.path, file.fingerprint) for file in known if file.status == LOADED}
    discarded = {(file.path, file.fingerprint) for manifest in manifests for file in manifest.discarded}
    fresh = [file for file in files if (file.path, file.fingerprint) not in seen | discarded]
    with _all_unchanged(landing, fresh), ExitStack() as copies:
        found = _find_new(settings, known, fresh, landing, source, copies)
        found.warnings += [_passed_over(file) for file in files if (file.path, file.fingerprint) in discarded]
        if not found.readable and not found.unreadable:
            return StagedBatch(None, seen_through, found.warnings)
        begin()
        manifest = _write_batch(
            settings, source, found, staging_dir, seen_through + 1 if number is None else number
        )
        _check_unchanged(landing, fresh)
    if not manifest.files:
        return StagedBatch(None, seen_through, found.warnings)
    manifest = pseudonymise(settings, read_registry(settings.home), staging_dir.rglob("*.parquet"), manifest)
    return StagedBatch(manifest, seen_through, found.warnings)


def _passed_over(file: LandingFile) -> str:
    return (
        f"{file.path} was discarded and is not loaded while it stays as it is; remove it, put it right, or"
        " land it again to load it"
    )


@contextmanager
def _all_unchanged(landing: Landing, files: Sequence[LandingFile]) -> Iterator[None]:
    """A file that changes or goes while it is read makes errors of many kinds; this tells what they come
    from.
    """
    try:
        yield
    except (OSError, duckdb.Error) as error:
        _check_unchanged(landing, files, error)
        raise


def _check_unchanged(landing: Landing, files: Sequence[LandingFile], cause: Exception | None = None) -> None:
    for file in files:
        if not landing.is_unchanged(file):
            raise LandingFileChangedError(
                f"{file.path} changed while it was read, or is gone; the next run looks again"
            ) from cause


@dataclass
class _Found:
    readable: list[tuple[LocalFile, str]] = field(default_factory=list)
    unreadable: list[tuple[LandingFile, str | None, UnreadableFileError]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict[int, FileFacts] = field(default_factory=dict)
    """Of Stripe's files, by their number."""

    refused: set[tuple[str, str | None]] = field(default_factory=set)
    """Path and digest of what earlier loads refused: it is tried again, and told once."""

    def refuse(self, file: LandingFile, digest: str | None, problem: UnreadableFileError) -> None:
        """Take a file for unreadable."""
        self.readable = [one for one in self.readable if one[0].file is not file]
        if (file.path, digest) not in self.refused:
            self.unreadable.append((file, digest, problem))


def _find_new(
    settings: Settings,
    known: Sequence[FileRecord],
    fresh: Sequence[LandingFile],
    landing: Landing,
    source: Source,
    copies: ExitStack,
) -> _Found:
    loaded = {(file.sha256, stated(file.facts)) for file in known if file.status == LOADED}
    by_path = {file.path for file in known}
    contents: dict[str, list[str | None]] = {}
    for record in known:
        if record.status == LOADED:
            contents.setdefault(record.path, []).append(record.sha256)
    found = _Found(refused={(file.path, file.sha256) for file in known if file.status == UNREADABLE})
    # What fails on the way to a file is not the file's fault; it ends the load, which may be tried again.
    paths = [copies.enter_context(landing.local_copy(file)) for file in fresh]
    # Several at once: a digest is one core's work.
    with ThreadPoolExecutor() as pool:
        digests = [pool.submit(_digest, file, path) for file, path in zip(fresh, paths, strict=True)]
    for file, path, hashed in zip(fresh, paths, digests, strict=True):
        digest = None
        try:
            digest = hashed.result()
            # Reports of two idle months are the same bytes; what they cover is part of what they say.
            facts = None if source.stripe is None else facts_of(landing, file)
            # A name that gets back a content which it had before states that content anew.
            is_back = digest in contents.get(file.path, []) and contents[file.path][-1] != digest
            if (digest, stated(_facts_json(facts))) in loaded and not is_back:
                continue
            if source.stripe is not None:
                check_report_type(file.path)
            check_readable(file, path, source.layout)
            if file.format == ".parquet":
                with duckdb.connect(config=settings.duckdb_config()) as connection:
                    check_parquet(connection, path, source.layout)
        except UnreadableFileError as error:
            problem = error
        except OSError as error:
            problem = UnreadableFileError(
                reject_codes.UNREADABLE_FILE,
                f"the file cannot be opened ({error.strerror or error}); mend that",
            )
        else:
            if file.path in by_path and (file.path, digest) not in found.refused:
                found.warnings.append(
                    f"{file.path} has new content under a known name; it is loaded as a new file"
                )
            loaded.add((digest, stated(_facts_json(facts))))
            found.readable.append((LocalFile(len(found.readable), file, path), digest))
            if facts is not None:
                found.facts[found.readable[-1][0].file_no] = facts
            continue
        found.refuse(file, digest, problem)
    return found


def _digest(file: LandingFile, path: Path) -> str:
    check_openable(file, path)
    return sha256(path)


def _write_batch(
    settings: Settings, source: Source, found: _Found, staging_dir: Path, batch_seq: int
) -> Manifest:
    loaded_at, limits = datetime.now(UTC), RowLimits.of(settings)
    data, rejects = staging_dir / source.table, staging_dir / "rejects"
    counts: dict[int, _Counts] = {}
    models: set[str] = set()
    with duckdb.connect(config=settings.duckdb_config()) as connection:
        define_macros(connection)
        for table in ("rejects", "outside"):
            create_rejects(connection, table)
        _create_facts(connection, found.facts)
        portions = deque(
            in_portions([file for file, _ in found.readable], lambda one: one.file.bytes, PORTION_BYTES)
        )
        part, groups = 0, ""
        while portions:
            files = portions.popleft()
            data.mkdir(exist_ok=True)
            parquet = data / f"part-{part:05d}.parquet"
            try:
                _validate(connection, source, limits, files, batch_seq, parquet, groups)
                counted = _counts(connection, parquet, source)
                if source.stripe is not None and (unknown := _in_unknown_zone(connection, parquet)):
                    parquet.unlink()
                    for local in (local for local in files if local.file_no in unknown):
                        found.refuse(
                            local.file, dict(found.readable)[local], unknown_time_zone(source.stripe)
                        )
                    if known := [local for local in files if local.file_no not in unknown]:
                        portions.appendleft(known)
                    continue
                if any(one.rejected for one in counted.values()):
                    _set_rejects_apart(connection, parquet, groups)
                if any(one.outside for one in counted.values()):
                    limits.write_rejects(
                        connection, source.table, f"(from {_rows(parquet)} where is_outside)", "outside"
                    )
            except BEYOND_DUCKDB as error:
                parquet.unlink(missing_ok=True)
                if isinstance(error, duckdb.OutOfMemoryException) and not groups:
                    groups = SMALL_GROUPS
                    connection.execute("set threads = 1")
                    portions.appendleft(files)
                elif len(files) == 1:
                    found.refuse(files[0].file, dict(found.readable)[files[0]], damaged(error))
                else:
                    # One file is to blame: alone each shows which.
                    portions.extendleft([file] for file in reversed(files))
                continue
            part += 1
            counts |= counted
            if source.has_models:
                named = f"select distinct model from {_rows(parquet)} where model is not null"
                models |= {model for (model,) in connection.execute(named).fetchall()}
        records = [
            _loaded(file, digest, counts, found.facts.get(file.file_no)) for file, digest in found.readable
        ]
        numbers = count(1 + max((file.file_no for file, _ in found.readable), default=-1))
        for number, (file, digest, problem) in zip(numbers, found.unreadable, strict=False):
            records.append(_unreadable(number, file, digest))
            connection.execute(
                "insert into rejects values (?, null, ?, ?, null)", [number, problem.code, problem.words]
            )
        outside = sum(one.outside for one in counts.values())
        manifest = Manifest(
            batch_seq, source.table, loaded_at, records, sorted(models), limits.digest, outside
        )
        write_rejects(connection, manifest, "rejects", rejects / REJECTS)
        write_rejects(connection, manifest, "outside", rejects / OUTSIDE)
    return manifest


def in_portions(files: Iterable[One], bytes_of: Callable[[One], int], limit: int) -> Iterator[list[One]]:
    """The files in portions of so many bytes, or of one file each that has more, in their order."""
    portion: list[One] = []
    size = 0
    for file in files:
        if portion and size + bytes_of(file) > limit:
            yield portion
            portion, size = [], 0
        portion.append(file)
        size += bytes_of(file)
    if portion:
        yield portion


def _validate(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    limits: RowLimits,
    files: Sequence[LocalFile],
    batch_seq: int,
    parquet: Path,
    groups: str,
) -> None:
    """Write every record of some files to Parquet, in one pass over their text: the lake's columns, and why a
    record is rejected.

    A record that only a setting keeps out (`is_outside`) is typed like an accepted one: the setting may
    change.
    """
    connection.execute(f"set variable usual_keys = {usual_keys(files, source.layout)}")
    judged = source.records_sql(record_texts(connection, files, source.layout))
    shown = (
        "reject_code is not null or is_outside"
        if limits.keeps_text(source.table)
        else "reject_code is not null"
    )
    _write(
        connection,
        f"""select {typed(LAKE_TABLES[source.table])}, reject_code, reject_words, is_outside,
            case when {shown} then without_line_end(raw) end as reject_raw
        from (
            select *, {batch_seq}::bigint as batch_seq,
                case when reject_code is null then {limits.settings_broken(source.table)} else false end
                    as is_outside
            from ({judged})
        )""",
        parquet,
        groups,
    )


def _set_rejects_apart(connection: duckdb.DuckDBPyConnection, parquet: Path, groups: str) -> None:
    """Move the rejected records from a part to the table `rejects`."""
    rejected = f"{_rows(parquet)} where reject_code is not null"
    connection.execute(
        f"insert into rejects select file_no, line, reject_code, reject_words, reject_raw from {rejected}"
    )
    accepted = parquet.with_name(f"{parquet.name}.accepted")
    _write(connection, f"from {_rows(parquet)} where reject_code is null", accepted, groups)
    accepted.replace(parquet)


def _rows(parquet: Path) -> str:
    return f"read_parquet({file_literal(str(parquet))}, hive_partitioning = false)"


def _write(connection: duckdb.DuckDBPyConnection, query: str, parquet: Path, groups: str) -> None:
    connection.execute(
        f"copy ({query}) to {literal(str(parquet))} (format parquet, compression zstd{groups})"
    )


def _create_facts(connection: duckdb.DuckDBPyConnection, facts: dict[int, FileFacts]) -> None:
    """The table `file_facts` that rows of Stripe's are joined with."""
    connection.execute(
        "create temp table file_facts (file_no bigint, account_id varchar, livemode boolean, timezone"
        " varchar)"
    )
    if facts:
        rows = [[file_no, one.account_id, one.livemode, one.timezone] for file_no, one in facts.items()]
        connection.executemany("insert into file_facts values (?, ?, ?, ?)", rows)


@dataclass(frozen=True)
class _Counts:
    """The records of a file."""

    records: int = 0
    rejected: int = 0
    """By a rule that no setting changes."""
    outside: int = 0
    """Rejected by a setting."""
    entries: int = 0
    """Accepted ones that state an entry."""


def _counts(connection: duckdb.DuckDBPyConnection, parquet: Path, source: Source) -> dict[int, _Counts]:
    """Return what was found in each file, by its number."""
    rows = connection.execute(
        f"""select file_no, count(*), count(reject_code), count(*) filter (where is_outside),
            count(*) filter (where reject_code is null and not is_outside
                and {RowLimits.states_entry(source.table)})
        from {_rows(parquet)} group by file_no"""
    ).fetchall()
    return {file_no: _Counts(*counts) for file_no, *counts in rows}


def _in_unknown_zone(connection: duckdb.DuckDBPyConnection, parquet: Path) -> set[int]:
    """Return the numbers of the files that count by local times of an unknown zone: they are refused whole,
    not row by row.
    """
    rows = connection.execute(
        f"select distinct file_no from {_rows(parquet)} where reject_code ="
        f" {literal(reject_codes.UNKNOWN_TIME_ZONE)}"
    ).fetchall()
    return {file_no for (file_no,) in rows}


def _loaded(local: LocalFile, digest: str, counts: dict[int, _Counts], facts: FileFacts | None) -> FileRecord:
    counted = counts.get(local.file_no, _Counts())
    rejected = counted.rejected + counted.outside
    return FileRecord(
        file_no=local.file_no,
        source=local.file.source,
        path=local.file.path,
        sha256=digest,
        fingerprint=local.file.fingerprint,
        bytes=local.file.bytes,
        status=LOADED,
        records=counted.records,
        accepted=counted.records - rejected,
        rejected=rejected,
        entry_records=counted.entries,
        facts=_facts_json(facts),
    )


def _facts_json(facts: FileFacts | None) -> dict[str, object] | None:
    """The facts as a manifest holds them."""
    if facts is None:
        return None
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(facts).items()
    }


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
