"""The landing area: its files, in a local folder or behind any fsspec URL."""

import os
import posixpath
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import tokenize

from ingestion.landing.local_files import file_stat, files_below
from paywall_warehouse.files import replace_file
from paywall_warehouse.quoting import printable
from paywall_warehouse.settings import Settings
from paywall_warehouse.uris import open_filesystem

UNFINISHED = (".tmp", ".part", ".partial")
FORMATS = (".jsonl", ".json", ".csv", ".parquet")
COMPRESSIONS = (".gz", ".zst")
# The names under which fsspec's file systems list the time of a file's last change, and its version.
TIME_KEYS = ("mtime", "LastModified", "last_modified", "updated", "created")
VERSION_KEYS = ("ETag", "etag", "md5Hash", "generation", "version_id")


@dataclass(frozen=True)
class LandingFile:
    """A file in a listing of the landing area."""

    source: str
    """The source: `ledger`, `events`, `prices`, `payments`, or `stripe/` and the name of a report."""
    path: str
    """Relative to the landing area, with `/`. Control characters and bytes that are not UTF-8 are written as
    `\\x1b`.
    """
    location: str
    """The path that the file system opens."""
    bytes: int
    landed_at: float
    """Seconds since the epoch. It orders the files of one run: on a tie, the version that landed last wins
    (docs/contract.md#11-terms).
    """
    fingerprint: str
    """A digest of the listing's entry, which changes when the file changes."""
    hindrance: tuple[str, str] | None = None
    """Why the file must not be opened: a reject code and a message."""
    separator: str = ","
    """What separates the fields if it is a CSV file, as in the layout of its source."""
    page_lists: tuple[str, ...] = ("data",)
    """The names under which an object in it has a list of records if it is a `.json` file."""

    @property
    def compression(self) -> str:
        """Return `.gz`, `.zst` or '', from the name."""
        suffix = posixpath.splitext(self.path.lower())[1]
        return suffix if suffix in COMPRESSIONS else ""

    @property
    def format(self) -> str:
        """Return `.jsonl`, `.json`, `.csv` or `.parquet`, from the name; no other ending is supported."""
        name = self.path.lower().removesuffix(self.compression)
        suffix = posixpath.splitext(name)[1]
        return "" if suffix == ".parquet" and self.compression else suffix


class Landing:
    """The landing area at a path or an fsspec URL."""

    def __init__(self, uri: str, scratch: Path) -> None:
        """`scratch` is a folder for copies of files that are not on a local disk."""
        self.filesystem, self.root = open_filesystem(uri)
        self._scratch = scratch

    @classmethod
    def of(cls, settings: Settings) -> "Landing":
        """Return the landing area of the settings."""
        return cls(settings.landing, settings.home.tmp / "landing")

    @property
    def is_local(self) -> bool:
        """Whether the files are on this machine and can be opened in place."""
        return type(self.filesystem) is LocalFileSystem

    def files(self, source: str) -> list[LandingFile]:
        """Return every finished file of one folder and its subfolders, in the order in which they landed."""
        folder = f"{self.root}/{source}"
        if self.is_local:
            files = [
                self._file(source, one.location, one.info, one.hindrance)
                for one in files_below(folder, self.root)
            ]
        elif self._exists(folder):
            found = self.filesystem.find(folder, detail=True)
            files = [self._file(source, location, _listed(info)) for location, info in found.items()]
        else:
            files = []
        return sorted(
            (file for file in files if _is_finished(file.path)), key=lambda file: (file.landed_at, file.path)
        )

    def files_outside(self, folders: Collection[str]) -> list[LandingFile]:
        """Return every finished file that is in none of these top-level folders, ordered by path."""
        below = [f"{self.root}/{folder}" for folder in folders]
        if self.is_local:
            found = [
                self._file("", one.location, one.info) for one in files_below(self.root, self.root, below)
            ]
        elif self._exists(self.root):
            found = list(self._found_outside(folders))
        else:
            found = []
        # The root of a disk has this folder of the file system.
        own = (file for file in found if _is_finished(file.path) and not file.path.startswith("lost+found"))
        return sorted(own, key=lambda file: file.path)

    def _found_outside(self, folders: Collection[str]) -> Iterator[LandingFile]:
        """Yield the files of an object store that are in none of these folders.

        Only the top level and unknown folders are listed, because the others may have millions of files.
        """
        for info in self.filesystem.ls(self.root, detail=True):
            location = info["name"].rstrip("/")
            if not self.relative(location):
                continue  # the folder itself, which some stores list
            if info["type"] != "directory":
                yield self._file("", location, _listed(info))
            elif self.relative(location) not in folders:
                inside = self.filesystem.find(location, detail=True)
                yield from (self._file("", one, _listed(about)) for one, about in inside.items())

    def _exists(self, folder: str) -> bool:
        self.filesystem.invalidate_cache(folder)
        return bool(self.filesystem.exists(folder))

    def _file(
        self, source: str, location: str, info: dict[str, Any], hindrance: tuple[str, str] | None = None
    ) -> LandingFile:
        return LandingFile(
            source=source,
            path=printable(os.fsencode(self.relative(location)).decode(errors="backslashreplace")),
            location=location,
            bytes=int(info["size"] or 0),
            landed_at=_modified(info),
            fingerprint=tokenize(info),
            hindrance=hindrance,
        )

    def relative(self, location: str) -> str:
        """Return the path of a file relative to the landing area, for `put`."""
        return location[len(self.root) :].lstrip("/")

    def listed(self, file: LandingFile) -> LandingFile:
        """Return the file as a listing shows it now."""
        return self._file(file.source, file.location, self._look(file.location))

    def is_unchanged(self, file: LandingFile) -> bool:
        """Check whether the file is still the one that the listing showed."""
        try:
            return bool(tokenize(self._look(file.location)) == file.fingerprint)
        except FileNotFoundError:
            return False

    def _look(self, location: str) -> dict[str, Any]:
        """Return the present listing entry of a file."""
        if self.is_local:
            return file_stat(location)
        self.filesystem.invalidate_cache()
        return _listed(self.filesystem.info(location))

    def beginning(self, location: str, length: int) -> bytes:
        """Return the first bytes of a small file. Raises `OSError` for a link or anything but a regular
        file.
        """
        if not self.is_local:
            return bytes(self.filesystem.cat_file(location, start=0, end=length))
        # With O_NONBLOCK, opening a pipe without a writer returns at once.
        with open(os.open(location, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise OSError(f"{location} is not a regular file")
            return opened.read(length)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield the path of a temporary local file that will be put into the landing area."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        staging_file = self._scratch / uuid4().hex
        try:
            yield staging_file
        finally:
            staging_file.unlink(missing_ok=True)

    def put(self, path: str, finished: Path) -> None:
        """Copy a finished file to a path relative to the landing area, where it appears whole.

        On a local disk the copy keeps the time of the file.
        """
        if self.is_local:
            replace_file(Path(self.root) / path, lambda partial: _copy(finished, partial))
        else:
            self.filesystem.put_file(str(finished), f"{self.root}/{path}")

    def put_text(self, path: str, text: str) -> None:
        """Write a small UTF-8 text as `put` does."""
        with self.staging() as staging_file:
            staging_file.write_text(text, encoding="utf-8")
            self.put(path, staging_file)

    @contextmanager
    def local_copy(self, file: LandingFile) -> Iterator[Path]:
        """Yield a local path of the file: the file itself, or a copy that is deleted afterwards."""
        if self.is_local:
            yield Path(file.location)
            return
        self._scratch.mkdir(parents=True, exist_ok=True)
        copy = self._scratch / uuid4().hex
        try:
            self.filesystem.get_file(file.location, str(copy))
            yield copy
        finally:
            copy.unlink(missing_ok=True)


def _listed(info: dict[str, Any]) -> dict[str, Any]:
    """Return the listing entry of a file that is not on a local disk."""
    versions = {key: info[key] for key in VERSION_KEYS if key in info}
    return {"size": info["size"], "mtime": _modified(info), **versions}


def _copy(source: Path, target: Path) -> None:
    shutil.copy2(source, target)


def _is_finished(path: str) -> bool:
    hidden = any(part.startswith(".") for part in path.split("/"))
    return not hidden and not path.lower().endswith(UNFINISHED)


def _modified(info: dict[str, Any]) -> float:
    """Return the time of landing from a listing entry; 0 if it has none, so that names alone order the
    files.
    """
    for key in TIME_KEYS:
        value = info.get(key)
        if value is not None:
            return float(value.timestamp() if hasattr(value, "timestamp") else value)
    return 0.0
