"""The export of one dataset: write the partitions that changed, then the manifest that names their files.

The order keeps readers safe, also on a store without renames. New files get new names. The manifest follows
when all of them are there. Files that no manifest names any more are removed later (`exports.catalog`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import duckdb

from exports.datasets import Dataset
from exports.destination import Destination, destination_of
from exports.export_checks import check_export, missing_files
from exports.export_records import ExportRecord, record_dataset
from exports.fingerprints import EMPTY, Fingerprint, engine_of, read_fingerprints, totals_to_text
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
from exports.mart_rows import PublishedMart
from exports.partition_files import PartitionFile, write_partition_files
from paywall_warehouse.files import sha256_of
from paywall_warehouse.settings import Settings
from warehouse.checks.invariant import Invariant
from warehouse.marts import Mart
from warehouse.published import Published, erasure_times, ledger_days, published_warehouse, read_published

# The rows that are sorted at once. 1 M rows of the ledger take some 300 MB of DuckDB's memory.
BATCH_ROWS = 1_000_000
BATCH_BYTES = 256_000_000


@dataclass(frozen=True)
class Exported:
    """The result of a dataset's export."""

    dataset: Dataset
    manifest: Manifest
    manifest_sha256: str
    location: str
    """The path or URL of the manifest, without a password."""
    changed: tuple[Partition, ...]
    """The partitions with a new revision."""
    gone: tuple[date, ...]
    """The days that are no longer partitions, because the ledger no longer reaches them."""
    files_written: int
    bytes_written: int
    is_manifest_new: bool
    checks: Sequence[Invariant]
    """If one of them fails, the manifest is not replaced."""


def dataset_folder(name: str) -> str:
    """Return the folder of a dataset's manifest."""
    return f"{ROOT}/{name}"


def manifest_path(name: str) -> str:
    """Return the path of a dataset's manifest."""
    return f"{dataset_folder(name)}/{MANIFEST}"


def stored_manifest(destination: Destination, name: str) -> tuple[Manifest, bytes] | None:
    """Return the manifest that consumers see and its text, None before the first export.

    Raises `ManifestError` if it is not understood.
    """
    content = destination.read(manifest_path(name))
    if content is None:
        return None
    location = destination.location(manifest_path(name))
    try:
        return read_manifest(content, location), content
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
    progress: Callable[[str], None] = lambda message: None,
    mart: Mart | None = None,
) -> Exported:
    """Export the partitions of a dataset that changed. Writes nothing if none did.

    `connection` is to the published file, in UTC and with insertion order preserved. The rows come from
    there, unless another `mart` is given. `progress` receives progress messages. Raises `ManifestError` if
    the stored manifest is not understood, and the errors of the destination's file system.
    """
    mart = mart or PublishedMart(connection, dataset)
    table = mart.table
    before, stored = stored_manifest(destination, dataset.name) or (None, None)
    schema = schema_after(before.columns_schema if before else None, table.columns)
    fingerprints = read_fingerprints(
        mart.queries, dataset, table, engine=mart.hash_engine, in_halves=mart.sums_in_halves
    )
    days = ledger_days(connection) if before and dataset.day else None
    plans = list(
        _plans(
            fingerprints,
            before,
            schema,
            formats,
            destination.files(dataset_folder(dataset.name)),
            dataset,
            days,
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
            prepared = write_partition_files(
                connection, dataset, table, wanted, destination.staging, relation
            )
            for plan in batch:
                partition, is_restated = writer.place(plan, prepared[plan.date])
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
    checks = check_export(manifest, fingerprints, destination, dataset_folder(dataset.name), writer.written)
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
    """Return the operations of the previous manifest, and the erasures since."""
    earlier = before.operations if before else []
    known = {operation.at for operation in earlier}
    return [
        *earlier,
        *(
            Operation(kind="erasure", at=at, partitions=restated if before else [])
            for at in erased
            if at not in known
        ),
    ]


def formats_of(settings: Settings) -> tuple[Format, ...]:
    """Return the formats of the settings, in a fixed order."""
    return tuple(encoding for encoding in SUFFIXES if encoding in settings.export_formats)


def _none_remote(connection: duckdb.DuckDBPyConnection, mart: str, day: str | None) -> None:
    """Return None: every mart is expected in the published file."""


def export_published(
    settings: Settings,
    dataset: Dataset,
    progress: Callable[[str], None],
    remote_mart: Callable[[duckdb.DuckDBPyConnection, str, str | None], Mart | None] = _none_remote,
) -> Exported:
    """Export a dataset from the published file to the destination of the settings.

    `remote_mart` gets the connection, the mart and its day column. It returns the mart if its rows are on the
    cluster, else None. By default, such a mart raises `NotPublishedError`.
    """
    with published_warehouse(settings) as connection:
        published = read_published(connection)
        mart = remote_mart(connection, dataset.mart, dataset.day)
        exported = export_dataset(
            connection, published, dataset, destination_of(settings), formats_of(settings), progress, mart
        )
    if all(check.passed for check in exported.checks):
        record_dataset(settings, dataset.name, ExportRecord(published.run_id, exported.manifest_sha256))
    return exported


@dataclass(frozen=True)
class _Plan:
    """The plan for a partition: keep it, or write it in some formats."""

    date: date | None
    now: Fingerprint
    before: Partition | None
    formats: tuple[Format, ...]
    """The formats to write."""
    schema_changed: bool = False
    rows_changed: bool = False
    """Whether the fingerprint differs from the previous one."""
    same_engine: bool = True
    """Whether the fingerprints can be compared: engine and version are the same."""
    damaged: frozenset[str] = frozenset()
    """The paths of files of `before` that are missing or truncated."""
    kept: Partition | None = None
    """The partition as it stays, if nothing is to be written."""


def _plans(
    fingerprints: Mapping[date | None, Fingerprint],
    manifest: Manifest | None,
    schema: Schema,
    formats: Sequence[Format],
    stored: Mapping[str, int],
    dataset: Dataset,
    days: tuple[date, date] | None,
) -> Iterator[_Plan]:
    """Yield a plan for each partition, in order of the days.

    That includes partitions that no longer have rows, within the ledger's days.
    """
    known = manifest.by_date if manifest else {}
    same_schema = manifest is not None and manifest.columns_schema.fingerprint == schema.fingerprint
    folder = dataset_folder(dataset.name)
    for day in sorted({*fingerprints, *known}, key=lambda key: key or date.min):
        if day and days and day not in fingerprints and not days[0] <= day <= days[1]:
            continue
        now, before = fingerprints.get(day, EMPTY), known.get(day)
        if before is None:
            yield _Plan(date=day, now=now, before=None, formats=tuple(formats))
            continue
        rows_changed = before.fingerprint != now.digest
        damaged = missing_files(before.files, stored, folder)
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
            same_engine=engine_of(before.fingerprint) == engine_of(now.digest),
            damaged=frozenset(file.path for file in damaged),
            kept=kept,
        )


def _batches(plans: Iterable[_Plan]) -> Iterator[list[_Plan]]:
    """Yield the partitions that are sorted and written together. A large one is alone."""
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
    """Moves prepared files to their places, and describes their partitions."""

    destination: Destination
    dataset: Dataset
    published: Published
    formats: Sequence[Format]
    retired: int
    written: list[File] = field(default_factory=list)
    pending: list[tuple[Path, str]] = field(default_factory=list)

    def flush(self) -> None:
        """Move the pending files to their places."""
        pending, self.pending = self.pending, []
        self.destination.place_all(pending)

    def place(self, plan: _Plan, prepared: Sequence[PartitionFile]) -> tuple[Partition, bool]:
        """Return the new partition, and whether consumers have to read it again.

        Its files stay pending until `flush`.
        """
        before = plan.before
        known = {one: before.files_in(one) for one in self.formats} if before else {}
        by_format = {one: [file for file in prepared if file.format == one] for one in plan.formats}
        repeated = {one for one, own in by_format.items() if _digests(own) == _digests(known.get(one, []))}
        replaced = [one for one, own in by_format.items() if known.get(one) and one not in repeated]
        is_restated = before is None or plan.schema_changed or (plan.rows_changed and plan.same_engine)
        # Another engine or version of DuckDB gives other fingerprints, and perhaps other bytes, for the same
        # rows.
        is_restated |= (plan.rows_changed or bool(replaced)) and not repeated
        start = self.retired if before is None else before.next_part
        files: list[File] = []
        for one in self.formats:
            if one not in by_format:
                files += known.get(one, [])
            elif one in repeated:
                files += self._repair(plan, known[one], by_format[one])
            else:
                files += [
                    self._add(file, part_path(plan.date, start + file.number, one)) for file in by_format[one]
                ]
        return (
            Partition(
                date=plan.date,
                revision=self.retired + 1 if before is None else before.revision + is_restated,
                changed_at=(
                    self.published.published_at if before is None or is_restated else before.changed_at
                ),
                rows=plan.now.rows,
                totals=totals_to_text(plan.now.totals),
                files=files,
                next_part=max([start, *(1 + _part_number(file.path) for file in files)]),
                fingerprint=plan.now.digest,
            ),
            is_restated,
        )

    def _repair(self, plan: _Plan, known: Sequence[File], prepared: Sequence[PartitionFile]) -> list[File]:
        """Keep the stored files, and write damaged ones again under their names."""
        for stored, file in zip(known, prepared, strict=True):
            if stored.path in plan.damaged:
                self._add(file, stored.path)
            else:
                file.prepared.unlink()
        return list(known)

    def _add(self, file: PartitionFile, path: str) -> File:
        self.pending.append((file.prepared, f"{dataset_folder(self.dataset.name)}/{path}"))
        entry = File(path=path, format=file.format, bytes=file.bytes, rows=file.rows, sha256=file.sha256)
        self.written.append(entry)
        return entry


def part_path(day: date | None, number: int, encoding: Format) -> str:
    """Return the path of a file, relative to the manifest."""
    folder = f"date={day.isoformat()}/" if day else ""
    return f"{encoding}/{folder}part-{number:05d}.{SUFFIXES[encoding]}"


def _part_number(path: str) -> int:
    return int(path.rpartition("part-")[2].partition(".")[0])


def _digests(files: Sequence[File] | Sequence[PartitionFile]) -> list[str]:
    return [file.sha256 for file in files]


def _without_run(manifest: Manifest, before: Manifest) -> Manifest:
    """Return a manifest with the run of another one."""
    return manifest.model_copy(
        update={name: getattr(before, name) for name in ("run_id", "published_at", "as_of")}
    )
