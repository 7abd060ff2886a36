"""The local side of a mirror: its manifests, its catalog, its files, and the lock against other pulls."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from filelock import FileLock, Timeout

from exports.client.outcome import PullError
from exports.manifest import (
    CATALOG,
    FILE_PATH,
    MANIFEST,
    ROOT,
    Catalog,
    CatalogDataset,
    File,
    Format,
    Manifest,
    ManifestError,
    read_catalog,
    read_manifest,
    to_bytes,
)
from paywall_warehouse.files import replace_bytes, sha256


@contextmanager
def locked(folder: str | Path, mirror: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Create the mirror if it does not exist, and keep other pulls out of it meanwhile.

    Raises `PullError` for an `OSError` in the body. The source's errors are converted where they occur, so
    any other one concerns the mirror.
    """
    try:
        mirror.mkdir(parents=True, exist_ok=True)
        lock = FileLock(mirror / ".pull.lock")
        try:
            held = lock.acquire(blocking=False)
        except Timeout:
            progress(f"another pull is at work on {folder}; waiting for its end")
            held = lock.acquire()
        with held:
            yield
    except OSError as error:
        raise PullError(
            f"{folder} cannot be written: {error}. Free space or remove what is in the way, or choose another"
            " folder.",
            is_wrong_usage=isinstance(error, FileExistsError | NotADirectoryError | PermissionError),
        ) from error


def local_manifest(folder: Path, dataset: str) -> Manifest | None:
    """Return the manifest of a dataset in the mirror `folder`, None if there is none that can be read."""
    file = folder / ROOT / dataset / MANIFEST
    try:
        return read_manifest(file.read_bytes(), str(file))
    except (FileNotFoundError, ManifestError):
        return None


def is_current(path: Path, file: File, trusted: str | None) -> bool:
    """Check whether the mirror has the file that the manifest names.

    The file is not read if `trusted`, a digest that is taken for granted, is the manifest's.
    """
    try:
        if path.stat().st_size != file.bytes:
            return False
    except FileNotFoundError:
        return False
    return trusted == file.sha256 or sha256(path) == file.sha256


def partial_path(folder: Path, file: File) -> Path:
    """Return the path of a file while it is fetched.

    It contains the digest, so that the rest of another revision is never continued.
    """
    target = folder / file.path
    return target.with_name(f".{target.name}.{file.sha256[:16]}.partial")


def write_if_changed(path: Path, content: bytes) -> None:
    """Write a small file, unless it has this content already."""
    if not path.exists() or path.read_bytes() != content:
        replace_bytes(path, content)


def remove_superseded(folder: Path, named: set[str]) -> None:
    """Remove files of earlier revisions and of interrupted pulls. Files that are not a pull's stay."""
    for encoding in get_args(Format):
        for file in (folder / encoding).rglob("*"):
            path = file.relative_to(folder).as_posix()
            if path not in named and (
                re.fullmatch(FILE_PATH, path)
                or (file.name.startswith(".part-") and file.suffix == ".partial")
            ):
                file.unlink()


def mirror_catalog(
    catalog: Catalog, mirror: Path, pulled: Sequence[CatalogDataset], formats: Sequence[str] | None
) -> bytes:
    """Return the catalog of the mirror: the datasets of this pull, and those that earlier pulls left."""
    names = {entry.name for entry in pulled}
    try:
        before = read_catalog((mirror / CATALOG).read_bytes(), str(mirror / CATALOG))
    except (FileNotFoundError, ManifestError):
        before = Catalog(catalog_version=1, formats=[], datasets=[])
    others = [
        entry for entry in before.datasets if entry.name not in names and (mirror / entry.manifest).exists()
    ]
    own = [entry.model_copy(update={"manifest_sha256": sha256(mirror / entry.manifest)}) for entry in pulled]
    kept = set(before.formats) if others else set()
    mirrored = [
        one
        for one in get_args(Format)
        if one in kept or (one in catalog.formats and (formats is None or one in formats))
    ]
    return to_bytes(catalog.model_copy(update={"formats": mirrored, "datasets": [*own, *others]}))
