"""Staging a batch: the new files of a source become Parquet files and a manifest in a temporary folder."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ingestion.erasure.erase import pseudonymise
from ingestion.lake.batches import Lake, Manifest
from ingestion.lake.erasures import read_registry
from ingestion.lake.row_limits import RowLimits
from ingestion.landing.area import Landing, LandingFile
from ingestion.sources.registry import Source
from ingestion.staging.candidates import candidates_of, discarded_states
from ingestion.staging.new_files import find_new_files
from ingestion.staging.write import write_batch
from paywall_warehouse.settings import Settings


class LandingFileChangedError(Exception):
    """A landed file was written to or removed while it was read. The next run reads it again."""


@dataclass(frozen=True)
class StagedBatch:
    """A batch that is staged but not yet committed."""

    manifest: Manifest | None
    """None if nothing was new."""
    seen_through: int
    """The last batch that was known when the new files were determined."""
    warnings: list[str]


def stage_batch(
    settings: Settings,
    source: Source,
    files: Sequence[LandingFile],
    staging_dir: Path,
    *,
    number: int | None = None,
    on_new: Callable[[], None] = lambda: None,
) -> StagedBatch:
    """Read, validate and write the new ones of some files; `number` is the batch's expected number.

    `on_new` is called as soon as a new file is found. The caller holds the writer lock or is a worker, so
    that no erasure runs at the same time. Raises `LandingFileChangedError`.
    """
    lake, landing, config = Lake(settings.home), Landing.of(settings), settings.duckdb_config()
    seen_through = lake.next_batch() - 1
    manifests = lake.manifests()
    known = [file for manifest in manifests for file in manifest.files if file.source == source.name]
    candidates, discarded = candidates_of(source, files, manifests), discarded_states(manifests)
    with _all_unchanged(landing, candidates), ExitStack() as copies:
        found = find_new_files(config, known, candidates, landing, source, copies)
        found.warnings += [
            _discarded_warning(file) for file in files if (file.path, file.fingerprint) in discarded
        ]
        if not found.readable and not found.unreadable:
            return StagedBatch(None, seen_through, found.warnings)
        on_new()
        manifest = write_batch(
            config,
            RowLimits.of(settings),
            source,
            found,
            staging_dir,
            seen_through + 1 if number is None else number,
        )
        _check_unchanged(landing, candidates)
    if not manifest.files:
        return StagedBatch(None, seen_through, found.warnings)
    manifest = pseudonymise(settings, read_registry(settings.home), staging_dir.rglob("*.parquet"), manifest)
    return StagedBatch(manifest, seen_through, found.warnings)


def _discarded_warning(file: LandingFile) -> str:
    return (
        f"{file.path} was discarded and is not loaded while it stays as it is; remove it, correct it, or"
        " land it again to load it"
    )


@contextmanager
def _all_unchanged(landing: Landing, files: Sequence[LandingFile]) -> Iterator[None]:
    """Raise `LandingFileChangedError` instead of the many kinds of error that a changing file causes."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        _check_unchanged(landing, files, error)
        raise


def _check_unchanged(landing: Landing, files: Sequence[LandingFile], cause: Exception | None = None) -> None:
    for file in files:
        if not landing.is_unchanged(file):
            raise LandingFileChangedError(
                f"{file.path} changed while it was read, or is gone; the next run reads it again"
            ) from cause
