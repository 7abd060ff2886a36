"""The download of a dataset's files into a mirror: only files that are missing, each one verified."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import duckdb

from exports.client.mirror_state import is_current, partial_path
from exports.client.outcome import DatasetError, PullError
from exports.client.source import Source
from exports.client.transfer import TooLargeError
from exports.encoding import read_function
from exports.manifest import File, Format, Manifest, ManifestColumn
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.files import put_in_place, sha256
from paywall_warehouse.sizes import size

DOWNLOADS_AT_ONCE = 8
REPORT_EVERY_SECONDS = 2.0
Result = TypeVar("Result")


class ChangedError(Exception):
    """A file is not the one that the manifest names: a later manifest's, or a damaged one."""


def download_missing(
    source: Source,
    folder: Path,
    manifest: Manifest,
    trusted: Mapping[str, str],
    progress: Callable[[str], None],
) -> list[File]:
    """Fetch the files of `manifest` that `folder` lacks, and return them.

    `trusted` maps paths to digests that are taken for granted. Raises `ChangedError` and `PullError`.
    """
    report = _Progress(manifest.dataset, progress)
    # A store takes its time for each file, however small. Each digest takes a processor.
    with open_duckdb() as connection, ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        try:
            files = manifest.files
            checks = [
                pool.submit(is_current, folder / file.path, file, trusted.get(file.path)) for file in files
            ]
            current = report.watch(checks, files, "verified")
            missing = [file for file, is_there in zip(files, current, strict=True) if not is_there]
            _check_room(folder, missing)
            fetched = [
                pool.submit(_fetch, source, folder, manifest, file, connection.cursor()) for file in missing
            ]
            list(report.watch(fetched, missing, "fetched"))
        finally:
            pool.shutdown(cancel_futures=True)
    return missing


@dataclass
class _Progress:
    """Reports every few seconds how many files of a dataset are done."""

    dataset: str
    progress: Callable[[str], None]
    reported_at: float = field(default_factory=time.monotonic)

    def watch(self, futures: Sequence[Future[Result]], files: Sequence[File], verb: str) -> Iterator[Result]:
        """Yield the results of `futures`, one for each file."""
        total, done = sum(file.bytes for file in files), 0
        for number, (future, file) in enumerate(zip(futures, files, strict=True), start=1):
            yield future.result()
            done += file.bytes
            if time.monotonic() > self.reported_at + REPORT_EVERY_SECONDS:
                self.reported_at = time.monotonic()
                self.progress(
                    f"{self.dataset}: {number:,} of {len(files):,} files, {size(done)} of {size(total)}"
                    f" {verb}"
                )


def _check_room(folder: Path, missing: Sequence[File]) -> None:
    """Raise `DatasetError` if the disk cannot hold the files."""
    folder.mkdir(parents=True, exist_ok=True)
    partials = [partial_path(folder, file) for file in missing]
    begun = sum(partial.stat().st_size for partial in partials if partial.exists())
    needed, free = sum(file.bytes for file in missing) - begun, shutil.disk_usage(folder).free
    if needed > free:
        raise DatasetError(
            f"{folder} needs {size(needed)}, and the disk has {size(free)} left. Make room, or choose another"
            " folder."
        )


def _fetch(
    source: Source, folder: Path, manifest: Manifest, file: File, connection: duckdb.DuckDBPyConnection
) -> None:
    """Fetch a file and verify it before it gets its name."""
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(folder, file)
    path = f"{manifest.dataset}/{file.path}"
    for attempt in range(2):
        try:
            source.fetch(path, partial, file.bytes)
        except TooLargeError as error:
            partial.unlink(missing_ok=True)
            raise ChangedError(f"{source.location(path)} {error}") from None
        except FileNotFoundError:
            raise ChangedError(
                f"{source.location(path)} does not exist, though the manifest names it"
            ) from None
        except PullError as error:
            # A store that does not let this consumer list reports a missing file as "forbidden".
            if isinstance(error.__cause__, PermissionError):
                raise ChangedError(f"{source.location(path)} is not there, or may not be read") from error
            raise
        fault = _fault(partial, file, manifest.columns_schema.columns, connection)
        if fault is None:
            put_in_place(partial, target)
            return
        partial.unlink()
        if attempt:
            raise ChangedError(f"{source.location(path)} {fault}")


def _fault(
    partial: Path, file: File, columns: Sequence[ManifestColumn], connection: duckdb.DuckDBPyConnection
) -> str | None:
    """Return what is wrong with a fetched file, None if nothing is."""
    if (length := partial.stat().st_size) != file.bytes:
        return f"has {length:,} bytes instead of {file.bytes:,}"
    if (digest := sha256(partial)) != file.sha256:
        return f"has the SHA-256 {digest} instead of {file.sha256}"
    try:
        rows = _count_rows(partial, file.format, columns, connection)
    except duckdb.Error as error:
        return f"is no {file.format} with the columns of the manifest: {str(error).splitlines()[0]}"
    return None if rows == file.rows else f"has {rows:,} rows instead of {file.rows:,}"


def _count_rows(
    file: Path, encoding: Format, columns: Sequence[ManifestColumn], connection: duckdb.DuckDBPyConnection
) -> int:
    query = f"select count(*) from {read_function([file], encoding, columns, compressed=True)}"
    return int(connection.execute(query).fetchall()[0][0])
