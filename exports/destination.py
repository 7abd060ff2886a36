"""Destinations of exports: a local folder, or a prefix of an object store behind any fsspec URL.

A file is prepared on a local disk, then put in its place atomically: by a rename in a local folder, by an
upload elsewhere. Object stores make an upload visible when it is complete.
"""

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from paywall_warehouse.files import fsync_path, put_in_place, sha256
from paywall_warehouse.settings import Settings
from paywall_warehouse.uris import UPLOADS_AT_ONCE, open_filesystem, put_file, shown_uri

STAGING = ".staging"


class Destination(ABC):
    """A place for files. Paths are relative, with `/`."""

    staging: Path
    """A folder on a local disk for files in preparation, which `clear_staging` removes."""

    @abstractmethod
    def read(self, path: str) -> bytes | None:
        """Return the content of a file, None if it does not exist."""

    @abstractmethod
    def place(self, prepared: Path, path: str) -> None:
        """Move a prepared file to its place, atomically. An existing file is replaced."""

    @abstractmethod
    def digest(self, path: str) -> str | None:
        """Return the SHA-256 of a stored file, None if it does not exist or would have to be downloaded."""

    @abstractmethod
    def files(self, folder: str) -> dict[str, int]:
        """Return the path and the size in bytes of every file under a folder."""

    @abstractmethod
    def remove(self, paths: Iterable[str]) -> None:
        """Remove files. Files that no longer exist are ignored."""

    @abstractmethod
    def location(self, path: str) -> str:
        """Return the full path or URL of a file, without a password."""

    def place_all(self, files: Iterable[tuple[Path, str]]) -> None:
        """Move prepared files to their places. No manifest may name any of them yet."""
        for prepared, path in files:
            self.place(prepared, path)

    def place_bytes(self, content: bytes, path: str) -> None:
        """Write a small file, atomically."""
        self.staging.mkdir(parents=True, exist_ok=True)
        prepared = self.staging / path.replace("/", "-")
        prepared.write_bytes(content)
        self.place(prepared, path)

    def clear_staging(self) -> None:
        """Remove the files that a killed run was preparing."""
        shutil.rmtree(self.staging, ignore_errors=True)


class LocalFolder(Destination):
    """A folder on a local disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # On the same file system, so that `place` is a rename. Beside `v1`, so that readers who list that
        # folder do not see it.
        self.staging = root / STAGING

    def read(self, path: str) -> bytes | None:
        """See `Destination`."""
        try:
            return (self._root / path).read_bytes()
        except FileNotFoundError:
            return None

    def place(self, prepared: Path, path: str) -> None:
        """See `Destination`."""
        target = self._root / path
        is_folder_new = not target.parent.exists()
        target.parent.mkdir(parents=True, exist_ok=True)
        put_in_place(prepared, target)
        if is_folder_new:
            fsync_path(target.parent.parent)

    def files(self, folder: str) -> dict[str, int]:
        """See `Destination`."""
        # Texts, because a run with nothing new spends more time on thousands of `Path` than on their sizes.
        found = (
            os.path.join(place, name) for place, _, names in os.walk(self._root / folder) for name in names
        )
        root = os.path.join(self._root, "")
        return {file.removeprefix(root): _size(file) for file in found}

    def digest(self, path: str) -> str | None:
        """See `Destination`."""
        try:
            return sha256(self._root / path)
        except FileNotFoundError:
            return None

    def remove(self, paths: Iterable[str]) -> None:
        """See `Destination`."""
        for path in paths:
            (self._root / path).unlink(missing_ok=True)
            # A partition that is gone leaves no empty folder.
            with suppress(OSError):
                (self._root / path).parent.rmdir()

    def location(self, path: str) -> str:
        """See `Destination`."""
        return str(self._root / path)


def _size(file: str) -> int:
    """Return the size of a file, or of a broken link."""
    try:
        return os.stat(file).st_size
    except OSError:
        return os.lstat(file).st_size


class ObjectStore(Destination):
    """A prefix of an object store, or a folder of any other fsspec file system."""

    def __init__(self, filesystem: Any, root: str, shown: str, scratch: Path) -> None:
        """Prepare files in `scratch`. `shown` is the URL for messages, without a password."""
        self._filesystem, self._root, self._shown, self.staging = filesystem, root, shown, scratch

    def read(self, path: str) -> bytes | None:
        """See `Destination`."""
        try:
            return bytes(self._filesystem.cat_file(self._at(path)))
        except FileNotFoundError:
            return None

    def place(self, prepared: Path, path: str) -> None:
        """See `Destination`."""
        put_file(self._filesystem, prepared, self._at(path))
        prepared.unlink()

    def files(self, folder: str) -> dict[str, int]:
        """See `Destination`."""
        self._filesystem.invalidate_cache()
        found = self._filesystem.find(self._at(folder), detail=True)
        root = self._root.lstrip("/")
        return {
            location.lstrip("/").removeprefix(root).lstrip("/"): int(info["size"])
            for location, info in found.items()
        }

    def place_all(self, files: Iterable[tuple[Path, str]]) -> None:
        """See `Destination`."""
        with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
            # Waits for all uploads, then raises the first error.
            list(pool.map(lambda one: self.place(*one), files))

    def digest(self, path: str) -> str | None:
        """See `Destination`."""
        return None

    def remove(self, paths: Iterable[str]) -> None:
        """See `Destination`."""
        # fsspec removes them one by one if the store has no bulk call.
        if targets := [self._at(path) for path in paths]:
            self._filesystem.rm(targets)

    def location(self, path: str) -> str:
        """See `Destination`."""
        return f"{self._shown.rstrip('/')}/{path}"

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"


def destination_of(settings: Settings) -> Destination:
    """Return the destination that `EXPORT_URI` names."""
    return open_destination(settings.exports, settings.home.tmp / "exports")


def open_destination(uri: str, scratch: Path) -> Destination:
    """Return the destination at a path or URL."""
    filesystem, root = open_filesystem(uri)
    if isinstance(filesystem, LocalFileSystem):
        return LocalFolder(Path(root or "/"))
    return ObjectStore(filesystem, root, shown_uri(uri), scratch)
