"""The end of an export: write the catalog of all datasets, then remove files that no manifest names."""

import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb

from exports.datasets import DATASETS, exported_datasets
from exports.destination import Destination, destination_of
from exports.export import dataset_folder, formats_of, manifest_path
from exports.export_checks import NO_STRAYS, ONE_PUBLISH, missing_files
from exports.export_records import ExportRecord, is_exported, read_state, record_catalog
from exports.manifest import (
    CATALOG,
    FILE_PATH,
    MANIFEST,
    ROOT,
    SUFFIXES,
    VERSION,
    Catalog,
    CatalogDataset,
    Format,
    Manifest,
    read_manifest,
    to_bytes,
)
from paywall_warehouse.files import sha256_of
from paywall_warehouse.settings import Settings
from warehouse.checks.invariant import WARN, Invariant, invariant
from warehouse.published import published_warehouse, read_published
from warehouse.published_tables import published_table

CATALOG_PATH = f"{ROOT}/{CATALOG}"
# A reader that has just read the previous manifest still finds its files. A slower reader reads the manifest
# again.
READERS_GRACE_SECONDS = 2
PATHS_LISTED = 5


@dataclass(frozen=True)
class Finished:
    """The result of `finish_exports`."""

    location: str
    checks: Sequence[Invariant]
    is_catalog_new: bool
    removed: int
    """The number of superseded files that were removed, and of files of datasets that are not exported."""


def finish_exports(settings: Settings) -> Finished:
    """Write the catalog and remove superseded files, if all datasets were exported from the same publication.

    That must be the current publication; otherwise nothing changes, and the check in the result fails. Raises
    `ManifestError` if a manifest is not understood, and the errors of the destination's file system.
    """
    destination = destination_of(settings)
    with published_warehouse(settings) as connection:
        run_id = read_published(connection).run_id
        manifest_texts = {
            name: content
            for name in exported_datasets(settings)
            if (content := destination.read(manifest_path(name))) is not None
        }
        check = _check_publication(settings, run_id, manifest_texts)
        if not check.passed:
            return Finished(destination.location(CATALOG_PATH), [check], False, 0)
        manifests = {
            name: read_manifest(content, destination.location(manifest_path(name)))
            for name, content in manifest_texts.items()
        }
        catalog = to_bytes(_catalog(connection, manifests, manifest_texts, formats_of(settings)))
    is_new = destination.read(CATALOG_PATH) != catalog
    if is_new:
        destination.place_bytes(catalog, CATALOG_PATH)
    unnamed = list(_unnamed_files(destination, manifests))
    unnamed += _dropped_files(destination, DATASETS.keys() - exported_datasets(settings).keys())
    superseded = [f"{folder}/{path}" for folder, path in unnamed if re.fullmatch(FILE_PATH, path)]
    if superseded:
        time.sleep(READERS_GRACE_SECONDS)
        destination.remove(superseded)
    destination.clear_staging()
    # A file whose name is not one of an export is somebody else's, and stays.
    strays = [f"{folder}/{path}" for folder, path in unnamed if not re.fullmatch(FILE_PATH, path)]
    record_catalog(settings, run_id)
    detail = f"not ours: {', '.join(strays[:PATHS_LISTED])}" if strays else "the folders of the files"
    no_strays = replace(invariant(NO_STRAYS, "files", 0, len(strays), detail), severity=WARN)
    return Finished(destination.location(CATALOG_PATH), [check, no_strays], is_new, len(superseded))


def is_complete(settings: Settings) -> bool:
    """Check whether the current publication has been exported completely, and all files still exist."""
    if not is_exported(settings):
        return False
    destination = destination_of(settings)
    try:
        if destination.read(CATALOG_PATH) is None:
            return False
        return all(
            _is_complete(destination, name, record.manifest_sha256)
            for name, record in read_state(settings).datasets.items()
        )
    except Exception:  # every store has its own errors; the export reports them
        return False


def _is_complete(destination: Destination, name: str, digest: str) -> bool:
    """Check whether a dataset's manifest is the one that was written, and its files have their sizes."""
    content = destination.read(manifest_path(name))
    if content is None or sha256_of(content) != digest:
        return False
    folder = dataset_folder(name)
    return not missing_files(read_manifest(content, name).files, destination.files(folder), folder)


def _dropped_files(destination: Destination, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the files of datasets that are no longer exported, as `_unnamed_files` does.

    Their manifests are removed: nobody would update them, and an erasure must not miss their rows.
    """
    for name in names:
        folder = dataset_folder(name)
        stored = destination.files(folder)
        if manifest_path(name) in stored:
            destination.remove([manifest_path(name)])
        for path in stored:
            if path != manifest_path(name):
                yield folder, path.removeprefix(f"{folder}/")


def _check_publication(settings: Settings, run_id: str, manifest_texts: Mapping[str, bytes]) -> Invariant:
    records, names = read_state(settings).datasets, exported_datasets(settings)
    outdated = [
        name
        for name in names
        if name not in manifest_texts
        or records.get(name) != ExportRecord(run_id, sha256_of(manifest_texts[name]))
    ]
    detail = f"export these first: {', '.join(outdated)}" if outdated else "manifest.json of each dataset"
    return invariant(ONE_PUBLISH, "datasets", len(names), len(names) - len(outdated), detail)


def _catalog(
    connection: duckdb.DuckDBPyConnection,
    manifests: Mapping[str, Manifest],
    manifest_texts: Mapping[str, bytes],
    formats: Sequence[Format],
) -> Catalog:
    return Catalog(
        catalog_version=VERSION,
        formats=list(formats),
        datasets=[
            CatalogDataset(
                name=name,
                description=published_table(connection, DATASETS[name].mart).description,
                manifest=f"{name}/{MANIFEST}",
                manifest_sha256=sha256_of(manifest_texts[name]),
                schema_version=manifest.columns_schema.version,
                schema_fingerprint=manifest.columns_schema.fingerprint,
                partitioned_by=manifest.partitioned_by,
            )
            for name, manifest in manifests.items()
        ],
    )


def _unnamed_files(destination: Destination, manifests: Mapping[str, Manifest]) -> Iterator[tuple[str, str]]:
    """Yield the files that no manifest names, each as the dataset's folder and the path in it."""
    for name, manifest in manifests.items():
        folder = dataset_folder(name)
        named = {file.path for file in manifest.files}
        for stored in destination.files(folder):
            path = stored.removeprefix(f"{folder}/")
            if path not in named and path.startswith(tuple(f"{encoding}/" for encoding in SUFFIXES)):
                yield folder, path
