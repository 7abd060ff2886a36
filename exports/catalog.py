"""The end of an export: the catalog of all datasets, then the removal of files that no manifest names any
more.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb

from exports.datasets import DATASETS
from exports.destination import Destination, destination_of
from exports.export import dataset_folder, formats_of, manifest_path
from exports.export_checks import NO_STRAYS, ONE_PUBLISH, absent
from exports.export_records import ExportRecord, is_exported, note_catalog, read_state
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
# A reader that has just read a manifest still finds the files that it names; one that takes longer reads the
# manifest again.
READERS_GRACE_SECONDS = 2
SHOWN = 5


@dataclass(frozen=True)
class Finished:
    """The end of an export."""

    location: str
    checks: Sequence[Invariant]
    is_catalog_new: bool
    removed: int
    """Files that no manifest names any more."""


def finish_exports(settings: Settings) -> Finished:
    """Write the catalog and remove what is superseded, if all datasets were exported from what is published
    now.

    Raises `ManifestError` where a manifest is not understood, and what the file system of the destination
    raises.
    """
    destination = destination_of(settings)
    with published_warehouse(settings) as connection:
        run_id = read_published(connection).run_id
        contents = {
            name: content
            for name in DATASETS
            if (content := destination.read(manifest_path(name))) is not None
        }
        check = _of_one_publish(settings, run_id, contents)
        if not check.passed:
            return Finished(destination.location(CATALOG_PATH), [check], False, 0)
        manifests = {
            name: read_manifest(content, destination.location(manifest_path(name)))
            for name, content in contents.items()
        }
        catalog = to_bytes(_catalog(connection, manifests, contents, formats_of(settings)))
    is_new = destination.read(CATALOG_PATH) != catalog
    if is_new:
        destination.place_bytes(catalog, CATALOG_PATH)
    unnamed = list(_unnamed(destination, manifests))
    superseded = [f"{folder}/{path}" for folder, path in unnamed if re.fullmatch(FILE_PATH, path)]
    if superseded:
        time.sleep(READERS_GRACE_SECONDS)
        destination.remove(superseded)
    destination.clear_staging()
    # What is not named like ours is somebody else's, and stays.
    strays = [f"{folder}/{path}" for folder, path in unnamed if not re.fullmatch(FILE_PATH, path)]
    note_catalog(settings, run_id)
    words = f"not ours: {', '.join(strays[:SHOWN])}" if strays else "the folders of the files"
    none_left = replace(invariant(NO_STRAYS, "files", 0, len(strays), words), severity=WARN)
    return Finished(destination.location(CATALOG_PATH), [check, none_left], is_new, len(superseded))


def is_complete(settings: Settings) -> bool:
    """Whether what is published now has been exported whole, and all of it is still there."""
    if not is_exported(settings):
        return False
    destination = destination_of(settings)
    try:
        if destination.read(CATALOG_PATH) is None:
            return False
        return all(
            _is_whole(destination, name, done.manifest_sha256)
            for name, done in read_state(settings).datasets.items()
        )
    except Exception:  # every store has errors of its own; the export itself then says what is wrong
        return False


def _is_whole(destination: Destination, name: str, digest: str) -> bool:
    """Whether a dataset's manifest is the one that was written, and its files are there with their sizes."""
    content = destination.read(manifest_path(name))
    if content is None or sha256_of(content) != digest:
        return False
    folder = dataset_folder(name)
    return not absent(read_manifest(content, name).files, destination.files(folder), folder)


def _of_one_publish(settings: Settings, run_id: str, contents: Mapping[str, bytes]) -> Invariant:
    done = read_state(settings).datasets
    others = [
        name
        for name in DATASETS
        if name not in contents or done.get(name) != ExportRecord(run_id, sha256_of(contents[name]))
    ]
    words = f"export these first: {', '.join(others)}" if others else "manifest.json of each dataset"
    return invariant(ONE_PUBLISH, "datasets", len(DATASETS), len(DATASETS) - len(others), words)


def _catalog(
    connection: duckdb.DuckDBPyConnection,
    manifests: Mapping[str, Manifest],
    contents: Mapping[str, bytes],
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
                manifest_sha256=sha256_of(contents[name]),
                schema_version=manifest.columns_schema.version,
                schema_fingerprint=manifest.columns_schema.fingerprint,
                partitioned_by=manifest.partitioned_by,
            )
            for name, manifest in manifests.items()
        ],
    )


def _unnamed(destination: Destination, manifests: Mapping[str, Manifest]) -> Iterator[tuple[str, str]]:
    """Files beside those of the manifests that no manifest names: the dataset's folder, and the path in
    it.
    """
    for name, manifest in manifests.items():
        folder = dataset_folder(name)
        named = {file.path for file in manifest.files}
        for stored in destination.files(folder):
            path = stored.removeprefix(f"{folder}/")
            if path not in named and path.startswith(tuple(f"{encoding}/" for encoding in SUFFIXES)):
                yield folder, path
