"""The end of an export: the catalog of all datasets, then the removal of files that no manifest names any more."""

import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb

from exports.checks import WARN, Invariant, invariant
from exports.datasets import DATASETS, published_table
from exports.destination import Destination, destination_of
from exports.export_checks import NO_STRAYS, ONE_PUBLISH
from exports.exported import is_exported, note_catalog, read_state
from exports.manifest import CATALOG, FILE_PATH, MANIFEST, ROOT, VERSION, Catalog, CatalogDataset, Format, Manifest, read_manifest, to_bytes
from exports.publication import published_warehouse, read_published
from exports.slices import dataset_folder, formats_of, manifest_path
from paywall_warehouse.settings import Settings

CATALOG_PATH = f"{ROOT}/{CATALOG}"
# A reader that has just read a manifest still finds the files that it names; one that takes longer reads the manifest again.
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
    """Write the catalog and remove what is superseded, if all datasets were exported from what is published now.

    Raises `ManifestError` where a manifest is not understood, and what the file system of the destination raises.
    """
    destination = destination_of(settings)
    with published_warehouse(settings) as connection:
        run_id = read_published(connection).run_id
        contents = {name: content for name in DATASETS if (content := destination.read(manifest_path(name))) is not None}
        check = _of_one_publish(settings, run_id, contents)
        if not check.passed:
            return Finished(destination.location(CATALOG_PATH), [check], False, 0)
        manifests = {name: read_manifest(content, destination.location(manifest_path(name))) for name, content in contents.items()}
        catalog = to_bytes(_catalog(connection, manifests, contents, formats_of(settings)))
    is_new = destination.read(CATALOG_PATH) != catalog
    if is_new:
        destination.place_bytes(catalog, CATALOG_PATH)
    superseded = list(_strays(destination, manifests, FILE_PATH))
    if superseded:
        time.sleep(READERS_GRACE_SECONDS)
        destination.remove(superseded)
    destination.clear_staging()
    strays = list(_strays(destination, manifests, r"(parquet|csv)/.*"))
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
        return all(_is_whole(destination, name, done.manifest_sha256) for name, done in read_state(settings).datasets.items())
    except Exception:  # every store has errors of its own; the export itself then says what is wrong
        return False


def _is_whole(destination: Destination, name: str, digest: str) -> bool:
    """Whether a dataset's manifest is the one that was written, and its files are there with their sizes."""
    content = destination.read(manifest_path(name))
    if content is None or _digest(content) != digest:
        return False
    stored, folder = destination.files(dataset_folder(name)), dataset_folder(name)
    files = (file for partition in read_manifest(content, name).partitions for file in partition.files)
    return all(stored.get(f"{folder}/{file.path}") == file.bytes for file in files)


def _of_one_publish(settings: Settings, run_id: str, contents: Mapping[str, bytes]) -> Invariant:
    done = read_state(settings).datasets
    others = [
        name
        for name in DATASETS
        if name not in done or name not in contents or done[name].run_id != run_id or done[name].manifest_sha256 != _digest(contents[name])
    ]
    words = f"export these first: {', '.join(others)}" if others else "manifest.json of each dataset"
    return invariant(ONE_PUBLISH, "datasets", len(DATASETS), len(DATASETS) - len(others), words)


def _catalog(
    connection: duckdb.DuckDBPyConnection, manifests: Mapping[str, Manifest], contents: Mapping[str, bytes], formats: Sequence[Format]
) -> Catalog:
    return Catalog(
        catalog_version=VERSION,
        formats=list(formats),
        datasets=[
            CatalogDataset(
                name=name,
                description=published_table(connection, DATASETS[name]).description,
                manifest=f"{name}/{MANIFEST}",
                manifest_sha256=_digest(contents[name]),
                schema_version=manifest.columns_schema.version,
                schema_fingerprint=manifest.columns_schema.fingerprint,
                partitioned_by=manifest.partitioned_by,
            )
            for name, manifest in manifests.items()
        ],
    )


def _strays(destination: Destination, manifests: Mapping[str, Manifest], pattern: str) -> Iterator[str]:
    """Files of which the path in a dataset's folder is like `pattern` and that its manifest does not name."""
    for name, manifest in manifests.items():
        folder = dataset_folder(name)
        named = {f"{folder}/{file.path}" for partition in manifest.partitions for file in partition.files}
        for path in destination.files(folder):
            if path not in named and re.fullmatch(pattern, path.removeprefix(f"{folder}/")):
                yield path


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
