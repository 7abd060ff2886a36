"""The lake: batches of Parquet files that are there whole or not at all.

A batch's files are written aside, moved to `lake/<table>/batch=<number>/`, and then named by a manifest in
`lake/_manifests/`. The manifest is the commit: a folder that no manifest names is what a killed process left,
and is removed. Which landed files have been loaded is known from the manifests alone.

A manifest takes the number behind the last one, and only where nobody has taken it: numbers have no gaps,
whoever has seen a number has seen all below it, and two processes that commit at once need no lock.
"""

import json
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from paywall_warehouse.files import move_folder, put_where_nothing_is, replace_text
from paywall_warehouse.home import Home

LOADED = "loaded"
UNREADABLE = "unreadable"
MANIFEST = re.compile(r"[0-9]{8,}\.json")


@dataclass(frozen=True)
class FileRecord:
    """One landed file as a manifest remembers it."""

    file_no: int
    source: str
    path: str
    sha256: str | None
    fingerprint: str
    bytes: int
    status: str
    """`loaded`, or `unreadable`: one reject, tried again on every run."""
    records: int
    accepted: int
    rejected: int
    entry_records: int
    """Accepted records that state a ledger entry."""
    facts: dict[str, Any] | None = None
    """Of a Stripe file, as `FileFacts` has them; instants are ISO 8601 text."""


@dataclass(frozen=True)
class DiscardedFile:
    """A landed file whose records were dropped from the batch (`ingestion.discard`).

    Where it still lies in the landing area it is not loaded again while it stays as it is.
    """

    source: str
    path: str
    sha256: str | None
    fingerprint: str | None
    """Of the file as it lay there when it was discarded; None where it was gone."""


@dataclass(frozen=True)
class Manifest:
    """What one batch brought."""

    batch_seq: int
    table: str
    loaded_at: datetime
    files: list[FileRecord]
    models: list[str] = field(default_factory=list)
    """The distinct model texts of the batch, for the price book."""
    limits: str = ""
    """The digest of the limits that rows outside were counted by; empty in batches of earlier versions."""
    outside: int = 0
    """Rows in the batch's files that these limits keep out of the warehouse; each is among the rejected
    records.
    """
    writer: str = ""
    """What keeps the batch's folders apart from others of the same number: those of workers that try for it
    without the writer lock, and those that the batch had before a file of it was discarded.
    """
    discarded: list[DiscardedFile] = field(default_factory=list)

    @property
    def folder(self) -> str:
        """The name of the batch's folder in each table."""
        return f"batch={self.batch_seq:08d}" + (f"-{self.writer}" if self.writer else "")

    @property
    def records(self) -> int:
        """New records, rejected ones included."""
        return sum(file.records for file in self.files)

    @property
    def rejected(self) -> int:
        """New records that broke a rule."""
        return sum(file.rejected for file in self.files)

    def has_rows_outside(self, limits: str) -> bool:
        """Return whether some rows may be outside of the limits with this digest."""
        return self.limits != limits or self.outside > 0

    def as_json(self) -> str:
        """The manifest's text."""
        return json.dumps(
            {**asdict(self), "loaded_at": self.loaded_at.isoformat()}, ensure_ascii=False, indent=1
        )

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """The manifest of a text that `as_json` wrote."""
        stated: dict[str, Any] = json.loads(text)
        return cls(
            batch_seq=stated["batch_seq"],
            table=stated["table"],
            loaded_at=datetime.fromisoformat(stated["loaded_at"]),
            files=[FileRecord(**file) for file in stated["files"]],
            models=stated["models"],
            limits=stated.get("limits", ""),
            outside=stated.get("outside", 0),
            writer=stated.get("writer", ""),
            discarded=[DiscardedFile(**file) for file in stated.get("discarded", [])],
        )


class Lake:
    """The lake of one home."""

    def __init__(self, home: Home) -> None:
        self._root = home.lake
        self._tmp = home.tmp

    def manifests(self, first: int = 0) -> list[Manifest]:
        """All committed batches, or those from a number on, in the order in which they landed."""
        # Not what a listing shows: one that is read while batches are committed may have the later of two and
        # lack the earlier.
        files = [self._manifest_file(number) for number in range(first, self.next_batch())]
        return [Manifest.from_json(file.read_text(encoding="utf-8")) for file in files if file.exists()]

    def next_batch(self) -> int:
        """The number of the batch that is committed next; numbers are never used twice."""
        # What an editor or another system leaves beside manifests is none.
        numbers = [
            int(file.stem)
            for file in (self._root / "_manifests").glob("*.json")
            if MANIFEST.fullmatch(file.name)
        ]
        return max(numbers, default=-1) + 1

    def batch_folder(self, table: str, manifest: Manifest) -> Path:
        """Where a batch's Parquet files of one table lie."""
        return self._root / table / manifest.folder

    def parquet_files(self, table: str, manifests: Sequence[Manifest]) -> list[Path]:
        """The Parquet files of one table in committed batches."""
        folders = (self.batch_folder(table, manifest) for manifest in manifests)
        # Nobody but a stranger puts a pipe there, which DuckDB would wait for.
        return [file for folder in folders for file in sorted(folder.glob("*.parquet")) if file.is_file()]

    @property
    def price_book(self) -> Path:
        """The folder of the resolved price book, a snapshot that is replaced."""
        return self._root / "price_book"

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty folder for a batch that is being written; gone afterwards."""
        folder = self._tmp / f"batch-{uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, manifest: Manifest, staging_dir: Path) -> bool:
        """Move the finished folder of each table to its place, then write the manifest that makes the batch
        real.

        False where another process has taken the number meanwhile: then everything is aside again.
        """
        finished = staging_dir / "manifest.json"
        finished.write_text(manifest.as_json(), encoding="utf-8")
        folders = [
            (path, self.batch_folder(path.name, manifest))
            for path in sorted(staging_dir.iterdir())
            if path.is_dir()
        ]
        for folder, place in folders:
            move_folder(folder, place)
        if put_where_nothing_is(finished, self._manifest_file(manifest.batch_seq)):
            return True
        for folder, place in folders:
            place.rename(folder)
        return False

    def replace(self, manifest: Manifest, staging: Path) -> None:
        """Give a committed batch the manifest and the finished folders in `staging`, one for each of its
        tables.

        The new folders get names of their own, so that the manifest changes all at once: a killed process
        leaves the batch as it was or as it shall be, and folders that `remove_orphans` knows by their names.
        Nor does a copy of the lake take new files for old ones.
        """
        changed = replace(manifest, writer=uuid4().hex[:12])
        before = [
            folder for folder in self._root.glob(f"*/batch={manifest.batch_seq:08d}*") if folder.is_dir()
        ]
        for folder in sorted(path for path in staging.iterdir() if path.is_dir()):
            move_folder(folder, self.batch_folder(folder.name, changed))
        self.restate(changed)
        for folder in before:
            shutil.rmtree(folder)

    def restate(self, manifest: Manifest) -> None:
        """Write the manifest of a committed batch anew."""
        replace_text(self._manifest_file(manifest.batch_seq), manifest.as_json())

    def _manifest_file(self, number: int) -> Path:
        return self._root / "_manifests" / f"{number:08d}.json"

    def remove_orphans(self, *, keep_prepared: float = 0) -> None:
        """Delete what killed processes left: folders without a manifest, files aside, batches that have
        waited for so many seconds.

        The caller holds the writer lock and keeps workers out: what they are about to commit looks just like
        it.
        """
        prepared = [
            folder
            for folder in self._tmp.glob("prepared-*")
            if folder.lstat().st_mtime < time.time() - keep_prepared
        ]
        left = [folder for pattern in ("batch-*", "landing", "spill*") for folder in self._tmp.glob(pattern)]
        for folder in (*self._uncommitted(), *prepared):
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)

    def keep_prepared(self, staging_dir: Path) -> str:
        """Keep what is aside for another process to commit; returns its name, by which `taking_prepared`
        finds it.
        """
        name = f"prepared-{uuid4().hex}"
        move_folder(staging_dir, self._tmp / name)
        return name

    @contextmanager
    def taking_prepared(self, name: str) -> Iterator[Path | None]:
        """What a process has kept, aside again for whoever takes it first; None for all others, and where it
        has been deleted.
        """
        with self.staging() as staging_dir:
            try:
                (self._tmp / name).rename(staging_dir)
            except FileNotFoundError:
                yield None
            else:
                yield staging_dir

    def _uncommitted(self) -> Iterator[Path]:
        folders: dict[str, list[Path]] = {}
        for folder in self._root.glob("*/batch=*"):
            number, _, _ = folder.name.removeprefix("batch=").partition("-")
            folders.setdefault(number, []).append(folder)
        for number, own in folders.items():
            file = self._root / "_manifests" / f"{number}.json"
            if not file.exists():
                yield from own
            elif len({folder.name for folder in own}) > 1:
                # Somebody else took the number of a killed process. Only then is a manifest read: there may
                # be thousands.
                manifest = Manifest.from_json(file.read_text(encoding="utf-8"))
                yield from (folder for folder in own if folder.name != manifest.folder)
