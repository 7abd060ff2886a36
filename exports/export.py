"""One dataset as files: the partitions whose rows changed are written anew, then the manifest that names
them.

Order is what keeps readers safe, on a store without renames too: new files get new names, the manifest
follows when all of them are there, and what no manifest names any more is removed later (`exports.catalog`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import duckdb

from exports.datasets import Dataset
from exports.destination import Destination, destination_of
from exports.export_checks import absent, check_export
from exports.export_records import ExportRecord, note_dataset
from exports.fingerprints import NOTHING, Contents, engine_of, totals_as_text
from exports.manifest import (
    MANIFEST,
    ROOT,
    SUFFIXES,
    VERSION,
    File,
    Format,
    Manifest,
    ManifestError,
    Operation,
    Partition,
    Schema,
    read_manifest,
    schema_after,
    to_bytes,
)
from exports.mart_rows import Mart, PublishedMart
from exports.partition_files import Part, write_parts
from paywall_warehouse.files import sha256_of
from paywall_warehouse.settings import Settings
from warehouse.checks.invariant import Invariant
from warehouse.published import Published, erasure_times, ledger_days, published_warehouse, read_published

# Rows that are sorted at once: 1 M rows of the ledger take some 300 MB of DuckDB's memory.
BATCH_ROWS = 1_000_000
BATCH_BYTES = 256_000_000


@dataclass(frozen=True)
class Exported:
    """A dataset after its export."""

    dataset: Dataset
    manifest: Manifest
    manifest_sha256: str
    location: str
    """Where the manifest is, for people."""
    changed: tuple[Partition, ...]
    """The partitions with a new revision."""
    gone: tuple[date, ...]
    """The days that are no partitions any more, since the ledger does not reach them."""
    files_written: int
    bytes_written: int
    is_manifest_new: bool
    checks: Sequence[Invariant]
    """Where one of them does not hold, the manifest stays as it was."""


def dataset_folder(name: str) -> str:
    """The folder of a dataset's manifest."""
    return f"{ROOT}/{name}"


def manifest_path(name: str) -> str:
    """Where a dataset's manifest is."""
    return f"{dataset_folder(name)}/{MANIFEST}"


def stored_manifest(destination: Destination, name: str) -> tuple[Manifest, bytes] | None:
    """The manifest that consumers see and its text, None before the first export; raises `ManifestError` if
    it is not understood.
    """
    content = destination.read(manifest_path(name))
    if content is None:
        return None
    place = destination.location(manifest_path(name))
    try:
        return read_manifest(content, place), content
    except ManifestError as error:
        raise ManifestError(
            f"{error}. It was written by a later version, or damaged: update, or remove it to have the"
            " dataset exported from the start."
        ) from None


def export_dataset(
    connection: duckdb.DuckDBPyConnection,
    published: Published,
    dataset: Dataset,
    destination: Destination,
    formats: Sequence[Format],
    progress: Callable[[str], None] = lambda words: None,
    mart: Mart | None = None,
) -> Exported:
    """Bring a dataset's files up to what is published; writes nothing where nothing changed.

    `connection` is to the published warehouse, in UTC and with its insertion order preserved; the rows are
    its own, unless another `mart` is given. `progress` hears of progress. Raises `ManifestError` where the stored
    manifest is not understood, and what the file system of the destination raises.
    """
    mart = mart or PublishedMart(connection, dataset)
    table = mart.table
    before, stored = stored_manifest(destination, dataset.name) or (None, None)
    schema = schema_after(before.columns_schema if before else None, table.columns)
    contents = mart.contents()
    days = ledger_days(connection) if before and dataset.day else None
    plans = list(
        _plans(
            contents, before, schema, formats, destination.files(dataset_folder(dataset.name)), dataset, days
        )
    )
    partitions: dict[date | None, Partition] = {
        plan.date: plan.kept for plan in plans if plan.kept is not None
    }
    changed: list[Partition] = []
    gone = (
        tuple(one for one in before.partitions if one.date not in {plan.date for plan in plans})
        if before
        else ()
    )
    retired = max([before.retired if before else 0, *(max(one.next_part, one.revision) for one in gone)])
    writer = _Writer(destination, dataset, published, formats, retired)
    todo = [plan for plan in plans if plan.kept is None]
    done = 0
    with mart.rows([plan.date for plan in todo if plan.now.rows]) if todo else nullcontext("") as relation:
        for batch in _batches(todo):
            wanted = [(plan.date, plan.now, plan.formats) for plan in batch]
            parts = write_parts(connection, dataset, table, wanted, destination.staging, relation)
            for plan in batch:
                partition, is_restated = writer.describe(plan, parts[plan.date])
                partitions[plan.date] = partition
                if is_restated:
                    changed.append(partition)
            writer.flush()
            done += len(batch)
            if dataset.day and done < len(todo):
                progress(f"{done:,} of {len(todo):,} days")
    manifest = Manifest(
        manifest_version=VERSION,
        dataset=dataset.name,
        run_id=published.run_id,
        published_at=published.published_at,
        as_of=published.as_of,
        reporting_timezone=published.reporting_timezone,
        partitioned_by=dataset.day,
        ordered_by=list(dataset.order),
        columns_schema=schema,
        partitions=[partitions[plan.date] for plan in plans],
        operations=_operations(erasure_times(connection), before, [partition.date for partition in changed]),
        retired=retired,
    )
    checks = check_export(manifest, contents, destination, dataset_folder(dataset.name), writer.written)
    content = to_bytes(manifest)
    if before is not None and to_bytes(_without_run(manifest, before)) == stored:
        manifest, content = before, stored
    is_new = content != stored
    if is_new and all(check.passed for check in checks):
        destination.place_bytes(content, manifest_path(dataset.name))
    return Exported(
        dataset=dataset,
        manifest=manifest,
        manifest_sha256=sha256_of(content),
        location=destination.location(manifest_path(dataset.name)),
        changed=tuple(changed),
        gone=tuple(one.date for one in gone if one.date),
        files_written=len(writer.written),
        bytes_written=sum(file.bytes for file in writer.written),
        is_manifest_new=is_new,
        checks=checks,
    )


def _operations(
    erased: Sequence[datetime], before: Manifest | None, restated: list[date | None]
) -> list[Operation]:
    """The operations before, and the erasures that this export is the first to show."""
    noted = before.operations if before else []
    known = {operation.at for operation in noted}
    return [
        *noted,
        *(
            Operation(kind="erasure", at=at, partitions=restated if before else [])
            for at in erased
            if at not in known
        ),
    ]


def formats_of(settings: Settings) -> tuple[Format, ...]:
    """The formats that the settings ask for, in an order of their own."""
    return tuple(encoding for encoding in SUFFIXES if encoding in settings.export_formats)


def export_published(
    settings: Settings,
    dataset: Dataset,
    progress: Callable[[str], None],
    remote_mart: Callable[[duckdb.DuckDBPyConnection, Dataset], Mart | None] = lambda connection, dataset: (
        None
    ),
) -> Exported:
    """`export_dataset` from the published file to where the settings say.

    `remote_mart` gives a mart whose rows are on the cluster, None for others; without it such a one raises
    `NotPublishedError`.
    """
    with published_warehouse(settings) as connection:
        published = read_published(connection)
        mart = remote_mart(connection, dataset)
        exported = export_dataset(
            connection, published, dataset, destination_of(settings), formats_of(settings), progress, mart
        )
    if all(check.passed for check in exported.checks):
        note_dataset(settings, dataset.name, ExportRecord(published.run_id, exported.manifest_sha256))
    return exported


@dataclass(frozen=True)
class _Plan:
    """What becomes of a partition."""

    date: date | None
    now: Contents
    before: Partition | None
    formats: tuple[Format, ...]
    """The formats to write."""
    schema_changed: bool = False
    rows_changed: bool = False
    """Whether the fingerprint is another one than before."""
    same_engine: bool = True
    """Whether fingerprints can be compared: engine and version are the same."""
    damaged: frozenset[str] = frozenset()
    """Files of `before` that are missing or cut short."""
    kept: Partition | None = None
    """The partition as it stays, where nothing is to be written."""


def _plans(
    contents: Mapping[date | None, Contents],
    manifest: Manifest | None,
    schema: Schema,
    formats: Sequence[Format],
    stored: Mapping[str, int],
    dataset: Dataset,
    days: tuple[date, date] | None,
) -> Iterator[_Plan]:
    """Yield every partition there is, in order of the days, and those without rows any more that lie within
    the ledger's days.
    """
    known = manifest.by_date if manifest else {}
    same_schema = manifest is not None and manifest.columns_schema.fingerprint == schema.fingerprint
    folder = dataset_folder(dataset.name)
    for day in sorted({*contents, *known}, key=lambda key: key or date.min):
        if day and days and day not in contents and not days[0] <= day <= days[1]:
            continue
        now, before = contents.get(day, NOTHING), known.get(day)
        if before is None:
            yield _Plan(date=day, now=now, before=None, formats=tuple(formats))
            continue
        rows_changed = before.fingerprint != now.fingerprint
        damaged = absent(before.files, stored, folder)
        incomplete = {file.format for file in damaged}
        wanted = [
            one
            for one in formats
            if rows_changed or not same_schema or one in incomplete or not before.files_in(one)
        ]
        kept = None if wanted else before.narrowed(formats)
        yield _Plan(
            date=day,
            now=now,
            before=before,
            formats=tuple(wanted),
            schema_changed=not same_schema,
            rows_changed=rows_changed,
            same_engine=engine_of(before.fingerprint) == engine_of(now.fingerprint),
            damaged=frozenset(file.path for file in damaged),
            kept=kept,
        )


def _batches(plans: Iterable[_Plan]) -> Iterator[list[_Plan]]:
    """Partitions that are sorted and written together; a large one alone."""
    batch: list[_Plan] = []
    rows = length = 0
    for plan in plans:
        if batch and (rows + plan.now.rows > BATCH_ROWS or length + plan.now.text_bytes > BATCH_BYTES):
            yield batch
            batch, rows, length = [], 0, 0
        batch.append(plan)
        rows += plan.now.rows
        length += plan.now.text_bytes
    if batch:
        yield batch


@dataclass
class _Writer:
    """Describes partitions by their prepared parts, and puts these in place."""

    destination: Destination
    dataset: Dataset
    published: Published
    formats: Sequence[Format]
    retired: int
    written: list[File] = field(default_factory=list)
    waiting: list[tuple[Path, str]] = field(default_factory=list)

    def flush(self) -> None:
        """Put in place what waits for it."""
        waiting, self.waiting = self.waiting, []
        self.destination.place_all(waiting)

    def describe(self, plan: _Plan, parts: Sequence[Part]) -> tuple[Partition, bool]:
        """The partition as it is now, and whether consumers have to read it again."""
        before = plan.before
        known = {one: before.files_in(one) for one in self.formats} if before else {}
        prepared = {one: [part for part in parts if part.format == one] for one in plan.formats}
        repeated = {one for one, own in prepared.items() if _digests(own) == _digests(known.get(one, []))}
        replaced = [one for one, own in prepared.items() if known.get(one) and one not in repeated]
        is_restated = before is None or plan.schema_changed or (plan.rows_changed and plan.same_engine)
        # Another engine, or version of DuckDB, has other fingerprints, and may write other bytes, of the same
        # rows.
        is_restated |= (plan.rows_changed or bool(replaced)) and not repeated
        start = self.retired if before is None else before.next_part
        files: list[File] = []
        for one in self.formats:
            if one not in prepared:
                files += known.get(one, [])
            elif one in repeated:
                files += self._mend(plan, known[one], prepared[one])
            else:
                files += [
                    self._put(part, part_path(plan.date, start + part.number, one)) for part in prepared[one]
                ]
        return (
            Partition(
                date=plan.date,
                revision=self.retired + 1 if before is None else before.revision + is_restated,
                changed_at=(
                    self.published.published_at if before is None or is_restated else before.changed_at
                ),
                rows=plan.now.rows,
                totals=totals_as_text(plan.now.totals),
                files=files,
                next_part=max([start, *(1 + _number(file.path) for file in files)]),
                fingerprint=plan.now.fingerprint,
            ),
            is_restated,
        )

    def _mend(self, plan: _Plan, known: Sequence[File], parts: Sequence[Part]) -> list[File]:
        """The files that are there already, those that are damaged put back under their names."""
        for file, part in zip(known, parts, strict=True):
            if file.path in plan.damaged:
                self._put(part, file.path)
            else:
                part.prepared.unlink()
        return list(known)

    def _put(self, part: Part, path: str) -> File:
        self.waiting.append((part.prepared, f"{dataset_folder(self.dataset.name)}/{path}"))
        file = File(path=path, format=part.format, bytes=part.bytes, rows=part.rows, sha256=part.sha256)
        self.written.append(file)
        return file


def part_path(day: date | None, number: int, encoding: Format) -> str:
    """The path of a part, relative to the manifest."""
    folder = f"date={day.isoformat()}/" if day else ""
    return f"{encoding}/{folder}part-{number:05d}.{SUFFIXES[encoding]}"


def _number(path: str) -> int:
    return int(path.rpartition("part-")[2].partition(".")[0])


def _digests(files: Sequence[File] | Sequence[Part]) -> list[str]:
    return [file.sha256 for file in files]


def _without_run(manifest: Manifest, before: Manifest) -> Manifest:
    """A manifest as the run of another one would have written it."""
    return manifest.model_copy(
        update={name: getattr(before, name) for name in ("run_id", "published_at", "as_of")}
    )
