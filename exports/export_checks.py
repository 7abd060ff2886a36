"""The checks of an export before its manifest is written, and of all exports together."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Final

from exports.destination import Destination
from exports.fingerprints import Fingerprint, sum_totals, totals_from_text
from exports.manifest import File, Manifest
from warehouse.checks.invariant import Invariant, invariant

TOTALS, FILES = "totals_equal_the_mart", "files_are_whole"
EXPORT_CHECKS: Final = {
    TOTALS: (
        "The rows, and the sums of every money column by currency, of all partitions together equal those of"
        " the mart."
    ),
    FILES: (
        "Every file exists with its size. On a local disk, the SHA-256 of files that were just written is"
        " computed again."
    ),
}
ONE_PUBLISH, NO_STRAYS = "exports_are_of_one_publish", "no_file_without_entry"
CATALOG_CHECKS: Final = {
    ONE_PUBLISH: "All datasets were exported from the warehouse that is published now.",
    NO_STRAYS: "Every file of an export is named in its manifest.",
}


def missing_files(files: Iterable[File], stored: Mapping[str, int], folder: str) -> list[File]:
    """Return the files that are missing in `folder` or do not have their size there.

    `stored` is the result of `Destination.files`.
    """
    return [file for file in files if stored.get(f"{folder}/{file.path}") != file.bytes]


def check_export(
    manifest: Manifest,
    fingerprints: Mapping[date | None, Fingerprint],
    destination: Destination,
    folder: str,
    written: Iterable[File],
) -> list[Invariant]:
    """Check one dataset: its manifest against the mart, and against the files at the destination."""
    return [*_totals(manifest, fingerprints), *_files(manifest, destination, folder, written)]


def _totals(manifest: Manifest, fingerprints: Mapping[date | None, Fingerprint]) -> Iterator[Invariant]:
    query = f"{manifest.dataset}: compare the partitions in manifest.json with the mart"
    rows = sum(partition.rows for partition in manifest.partitions)
    yield invariant(TOTALS, "rows", sum(one.rows for one in fingerprints.values()), rows, query)
    expected = sum_totals(one.totals for one in fingerprints.values())
    actual = sum_totals(totals_from_text(partition.totals) for partition in manifest.partitions)
    for currency in sorted({*expected, *actual}):
        for column in sorted({*expected.get(currency, {}), *actual.get(currency, {})}):
            sums = [side.get(currency, {}).get(column, Decimal(0)) for side in (expected, actual)]
            yield invariant(TOTALS, f"{currency} {column}", sums[0], sums[1], query)


def _files(
    manifest: Manifest, destination: Destination, folder: str, written: Iterable[File]
) -> Iterator[Invariant]:
    named = manifest.files
    missing = [file.path for file in missing_files(named, destination.files(folder), folder)]
    query = (
        f"missing or truncated in {destination.location(folder)}: {', '.join(missing[:5])}"
        if missing
        else "the files of manifest.json"
    )
    yield invariant(FILES, "files", len(named), len(named) - len(missing), query)
    corrupt = [
        file.path
        for file in written
        if destination.digest(f"{folder}/{file.path}") not in (None, file.sha256)
    ]
    yield invariant(
        FILES,
        "written files with another SHA-256",
        0,
        len(corrupt),
        ", ".join(corrupt[:5]) or "the files of manifest.json",
    )
