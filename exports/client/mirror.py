"""A local folder that is kept like an export elsewhere.

    from paywall_warehouse import pull
    for pulled in pull("s3://bucket/exports", "mirror", datasets=["ledger"], formats=["parquet"]):
        print(pulled.dataset, pulled.changed)

Only files that differ from the manifest are fetched. Size, SHA-256 and rows of each file are verified before
it gets its name. The manifest follows when all of its files are there. Files that were fetched before an
interruption are not fetched again. The source may be damaged or hostile: nothing is read beyond the sizes
that it states, and no wait is endless.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from exports.client.downloads import ChangedError, download_missing
from exports.client.mirror_state import (
    local_manifest,
    locked,
    mirror_catalog,
    remove_superseded,
    write_if_changed,
)
from exports.client.outcome import DatasetError, Pulled, PullError, merged
from exports.client.source import Source
from exports.manifest import CATALOG, MANIFEST, ROOT, Catalog, CatalogDataset, Manifest, Partition, to_bytes
from paywall_warehouse.files import sha256_of
from paywall_warehouse.uris import shown_uri

# An export of one day's changes takes seconds between its first manifest and its catalog.
ROUNDS, SECONDS_BETWEEN_ROUNDS = 6, 2.0


def pull(
    uri: str,
    folder: str | Path,
    *,
    datasets: Sequence[str] | None = None,
    formats: Sequence[str] | None = None,
    trust_sizes: bool = False,
    token: str | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> list[Pulled]:
    """Make `folder` a mirror of the export at `uri` (a path or any fsspec URL), and return the changes.

    `datasets` and `formats` restrict the mirror; None or an empty list means all. The mirror has the layout
    of an export and can be pulled from. The SHA-256 of each of its files is verified. `trust_sizes` verifies
    only the size of files that the mirror's own manifest names. `token` is sent to a web server, such as
    `paywall-warehouse serve`. `progress` receives progress messages. The result has one item for each
    dataset. Raises `PullError`.
    """
    if "://" in str(folder):
        raise PullError(
            f"{shown_uri(str(folder))} is no folder on this machine, which a mirror is", is_wrong_usage=True
        )
    source, mirror = Source.open(uri, token), Path(folder) / ROOT
    options = _Options(formats or None, trust_sizes, progress)
    done: dict[str, Pulled] = {}
    try:
        with locked(folder, mirror, progress):
            _follow(source, mirror, datasets, options, done)
    except PullError as error:
        error.pulled = list(done.values())
        raise
    return list(done.values())


@dataclass(frozen=True)
class _Options:
    """The options of a pull."""

    formats: Sequence[str] | None
    trust_sizes: bool
    progress: Callable[[str], None]


def _follow(
    source: Source, mirror: Path, datasets: Sequence[str] | None, options: _Options, done: dict[str, Pulled]
) -> None:
    """Pull until the catalog names the manifests that are there.

    Gives up after several rounds of waiting in which no file was fetched.
    """
    waits = 0
    while waits < ROUNDS:
        if waits:
            options.progress("the export is being written; looking again")
            time.sleep(SECONDS_BETWEEN_ROUNDS)
        fetched = sum(one.files for one in done.values())
        catalog = source.catalog()
        wanted = _selected(catalog, datasets, options.formats)
        settled, faults = [], []
        for entry in wanted:
            try:
                settled.append(_pull_dataset(source, mirror, entry, options, done))
            except DatasetError as error:
                faults.append(error)
        if faults:
            raise faults[0]
        if all(settled):
            write_if_changed(mirror / CATALOG, mirror_catalog(catalog, mirror, wanted, options.formats))
            return
        waits = 1 if sum(one.files for one in done.values()) > fetched else waits + 1
    raise PullError(
        f"{source.location(CATALOG)} does not name the manifests that are there: an export is being written,"
        " or was cut short. What was complete has been pulled; pull again."
    )


def _selected(
    catalog: Catalog, datasets: Sequence[str] | None, formats: Sequence[str] | None
) -> list[CatalogDataset]:
    """Return the catalog's entries of `datasets`. Raises `PullError` for an unknown dataset or format."""
    known = {entry.name: entry for entry in catalog.datasets}
    for names, available, kind in (
        (datasets, list(known), "dataset"),
        (formats, list(catalog.formats), "format"),
    ):
        if unknown := [name for name in names or () if name not in available]:
            raise PullError(
                f"the export has no {kind} {unknown[0]!r}; it has: {', '.join(available)}",
                is_wrong_usage=True,
            )
    return [known[name] for name in dict.fromkeys(datasets)] if datasets else catalog.datasets


def _pull_dataset(
    source: Source, mirror: Path, entry: CatalogDataset, options: _Options, done: dict[str, Pulled]
) -> bool:
    """Mirror one dataset by its current manifest, and return whether the catalog names that manifest."""
    content = source.manifest_bytes(entry)
    for _ in range(ROUNDS):
        manifest = source.validated_manifest(content, entry)
        try:
            pulled = _mirror_dataset(source, mirror / entry.name, manifest, content, options)
        except ChangedError as error:
            before, content = content, source.manifest_bytes(entry)
            if content == before:
                if isinstance(error.__cause__, PullError):
                    raise error.__cause__ from None
                raise DatasetError(
                    f"{error}. The export is damaged: remove that file there; the next run puts it back."
                ) from None
            options.progress(f"{entry.name}: the manifest has changed meanwhile; reading it again")
            continue
        earlier = done.get(entry.name)
        done[entry.name] = merged(earlier, pulled) if earlier else pulled
        return sha256_of(content) == entry.manifest_sha256
    return False


def _mirror_dataset(
    source: Source, folder: Path, manifest: Manifest, content: bytes, options: _Options
) -> Pulled:
    """Fetch the missing files of a manifest, write the manifest, and remove files that it does not name."""
    before = local_manifest(folder.parents[1], folder.name)
    own = _narrowed(manifest, options.formats)
    trusted = {file.path: file.sha256 for file in before.files} if before and options.trust_sizes else {}
    fetched = download_missing(source, folder, own, trusted, options.progress)
    write_if_changed(folder / MANIFEST, content if own is manifest else to_bytes(own))
    remove_superseded(folder, {file.path for file in own.files})
    earlier, now = before.by_date if before else {}, own.by_date
    return Pulled(
        manifest.dataset,
        changed=tuple(
            one for day, one in now.items() if day not in earlier or _has_changed(earlier[day], one)
        ),
        gone=tuple(day for day in earlier if day not in now),
        files=len(fetched),
        bytes=sum(file.bytes for file in fetched),
    )


def _has_changed(before: Partition, now: Partition) -> bool:
    """Check whether a partition has new rows or files. A format that is no longer mirrored is no change."""
    return before.revision != now.revision or any(file not in before.files for file in now.files)


def _narrowed(manifest: Manifest, formats: Sequence[str] | None) -> Manifest:
    """Return the manifest with the files of some formats only; the same object if that is all of them."""
    if formats is None or set(manifest.formats) <= set(formats):
        return manifest
    return manifest.model_copy(update={"partitions": [one.narrowed(formats) for one in manifest.partitions]})
