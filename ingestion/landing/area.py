"""The landing area: which files are there, in a local folder or behind any fsspec URL."""

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
FORMATS = (".jsonl", ".csv", ".parquet")
COMPRESSIONS = (".gz", ".zst")
# What the file systems of fsspec call the time of a file's last change, and its version.
TIME_KEYS = ("mtime", "LastModified", "last_modified", "updated", "created")
VERSION_KEYS = ("ETag", "etag", "md5Hash", "generation", "version_id")


@dataclass(frozen=True)
class LandingFile:
    """A file in the landing area as its listing shows it."""

    source: str
    """What it is: `ledger`, `events`, `prices`, `payments`, or `stripe/` and a kind of report."""
    path: str
    """Relative to the landing area, with `/`; control characters and bytes that are not UTF-8 as `\\x1b`."""
    location: str
    """What the file system opens."""
    bytes: int
    landed_at: float
    """Seconds since the epoch; orders files that arrive in one run (contract 1: on a tie the one that landed
    last).
    """
    fingerprint: str
    """Changes when the file changes: a digest of what the listing says of it."""
    hindrance: tuple[str, str] | None = None
    """Why it is not to be opened: a code of `reasons`, and words."""

    @property
    def compression(self) -> str:
        """`.gz`, `.zst` or nothing, from the name."""
        suffix = posixpath.splitext(self.path.lower())[1]
        return suffix if suffix in COMPRESSIONS else ""

    @property
    def format(self) -> str:
        """`.jsonl`, `.csv`, `.parquet`, from the name; anything else is not a format that is read."""
        name = self.path.lower().removesuffix(self.compression)
        suffix = posixpath.splitext(name)[1]
        return "" if suffix == ".parquet" and self.compression else suffix


class Landing:
    """The landing area at a path or an fsspec URL."""

    def __init__(self, uri: str, scratch: Path) -> None:
        """`scratch` takes copies of files that are not on a local disk; they are deleted after use."""
        self.filesystem, self.root = open_filesystem(uri)
        self._scratch = scratch

    @classmethod
    def of(cls, settings: Settings) -> "Landing":
        """The landing area that the settings name."""
        return cls(settings.landing, settings.home.tmp / "landing")

    @property
    def is_local(self) -> bool:
        """Whether files can be opened where they are."""
        return type(self.filesystem) is LocalFileSystem

    def files(self, source: str) -> list[LandingFile]:
        """Every finished file of one folder and its subfolders, in the order in which they landed."""
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
        """Return every finished file that lies in none of these folders at the top, in the order of their
        paths.
        """
        below = [f"{self.root}/{folder}" for folder in folders]
        if self.is_local:
            found = [
                self._file("", one.location, one.info) for one in files_below(self.root, self.root, below)
            ]
        elif self._exists(self.root):
            found = list(self._found_outside(folders))
        else:
            found = []
        # The top of a disk has this folder of the file system's own.
        own = (file for file in found if _is_finished(file.path) and not file.path.startswith("lost+found"))
        return sorted(own, key=lambda file: file.path)

    def _found_outside(self, folders: Collection[str]) -> Iterator[LandingFile]:
        """Of a store only the top is listed, and folders that are not known: the others may have millions of
        files.
        """
        for info in self.filesystem.ls(self.root, detail=True):
            location = info["name"].rstrip("/")
            if not self.relative(location):
                continue  # the mark of the folder itself, which some stores list
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
        """Where a file is below the landing area, as `put` takes it."""
        return location[len(self.root) :].lstrip("/")

    def listed(self, file: LandingFile) -> LandingFile:
        """The file as a listing shows it now."""
        return self._file(file.source, file.location, self._look(file.location))

    def is_unchanged(self, file: LandingFile) -> bool:
        """Whether the file is still what the listing showed."""
        try:
            return bool(tokenize(self._look(file.location)) == file.fingerprint)
        except FileNotFoundError:
            return False

    def _look(self, location: str) -> dict[str, Any]:
        """What is said of a file now."""
        if self.is_local:
            return file_stat(location)
        self.filesystem.invalidate_cache()
        return _listed(self.filesystem.info(location))

    def beginning(self, location: str, length: int) -> bytes:
        """The first bytes of a small file; raises `OSError` where there is no regular one, links included."""
        if not self.is_local:
            return bytes(self.filesystem.cat_file(location, start=0, end=length))
        # A pipe without a writer opens at once this way, and is seen to be one.
        with open(os.open(location, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise OSError(f"{location} is no regular file")
            return opened.read(length)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """The path of a file on a local disk that is to be put into the landing area; gone afterwards."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        staging_dir = self._scratch / uuid4().hex
        try:
            yield staging_dir
        finally:
            staging_dir.unlink(missing_ok=True)

    def put(self, path: str, finished: Path) -> None:
        """Copy a finished file to a path relative to the landing area, where it appears whole; on a local
        disk its time goes with it.
        """
        if self.is_local:
            replace_file(Path(self.root) / path, lambda partial: _copy(finished, partial))
        else:
            self.filesystem.put_file(str(finished), f"{self.root}/{path}")

    def put_text(self, path: str, text: str) -> None:
        """`put` for a small UTF-8 text."""
        with self.staging() as staging_dir:
            staging_dir.write_text(text, encoding="utf-8")
            self.put(path, staging_dir)

    @contextmanager
    def local_copy(self, file: LandingFile) -> Iterator[Path]:
        """The file on a local disk: itself, or a copy that is deleted afterwards."""
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
    """What a listing says of a file that is not on a local disk."""
    versions = {key: info[key] for key in VERSION_KEYS if key in info}
    return {"size": info["size"], "mtime": _modified(info), **versions}


def _copy(source: Path, target: Path) -> None:
    shutil.copy2(source, target)


def _is_finished(path: str) -> bool:
    hidden = any(part.startswith(".") for part in path.split("/"))
    return not hidden and not path.lower().endswith(UNFINISHED)


def _modified(info: dict[str, Any]) -> float:
    """The time of landing that a file system's listing states; 0 where it states none, and names alone order
    the files.
    """
    for key in TIME_KEYS:
        value = info.get(key)
        if value is not None:
            return float(value.timestamp() if hasattr(value, "timestamp") else value)
    return 0.0
