"""The lake: batches of Parquet files. A batch is either complete or absent.

A batch's files are staged, moved to `lake/<table>/batch=<number>/`, and then named by a manifest in
`lake/_manifests/`. Writing the manifest is the commit: a folder that no manifest names was left by a killed
process and is removed. The manifests alone record which landed files have been loaded.

A manifest takes the number after the last one, unless another process has taken it. Numbers therefore have no
gaps, a process that has seen a number has seen all lower ones, and two processes that commit at the same time
need no lock.
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
# A prepared batch that is older than this is not committed any more.
PREPARED_SECONDS = 86_400
MANIFEST = re.compile(r"[0-9]{8,}\.json")


@dataclass(frozen=True)
class FileRecord:
    """One landed file in a manifest."""

    file_no: int
    source: str
    path: str
    sha256: str | None
    fingerprint: str
    bytes: int
    status: str
    """`loaded`, or `unreadable`: a reject as a whole, which every run tries again."""
    records: int
    accepted: int
    rejected: int
    entry_records: int
    """The number of accepted records that state a ledger entry."""
    facts: dict[str, Any] | None = None
    """The fields of `FileFacts` for a Stripe file, of `BillFacts` for a bill; instants are ISO 8601 text."""
    filtered: int = 0
    """Records that the source leaves out on purpose."""
    rounded_amounts: int = 0
    """Records with an amount that was rounded to 12 decimals."""
    cost_stated: str | None = None
    """The sum of the costs that the accepted records state, as decimal text; None if the source has none."""
    unmapped: list[str] = field(default_factory=list)
    """Columns that the mapping does not know."""
    mapping: str = ""
    """The digest of the mapping that made the rows; empty for the built-in sources."""


@dataclass(frozen=True)
class DiscardedFile:
    """A landed file whose records were dropped from the batch (`ingestion.discard`).

    If it is still in the landing area, it is not loaded again while it stays unchanged.
    """

    source: str
    path: str
    sha256: str | None
    fingerprint: str | None
    """The fingerprint of the file when it was discarded; None if it was gone."""


@dataclass(frozen=True)
class Manifest:
    """The description of one committed batch: its files, counts and limits."""

    batch_seq: int
    table: str
    loaded_at: datetime
    files: list[FileRecord]
    models: list[str] = field(default_factory=list)
    """The distinct model texts of the batch, for the price book."""
    limits: str = ""
    """The digest of the limits by which rows were counted; empty in batches of earlier versions."""
    outside: int = 0
    """The number of rows in the batch's files that these limits keep out of the warehouse. Each of them
    counts as a rejected record.
    """
    writer: str = ""
    """A suffix that separates the batch's folders from others of the same number: those of workers that
    compete for the number without the writer lock, and the batch's old folders after a discard.
    """
    discarded: list[DiscardedFile] = field(default_factory=list)
    restated: int = 0
    """How often the rows were made again after the batch was committed, because the mapping has changed."""
    schema_version: int = 0
    """The version of the lake's tables that the files were written with; 0 in batches of earlier versions of
    the program.
    """

    @property
    def folder(self) -> str:
        """Return the name of the batch's folder in each table."""
        return f"batch={self.batch_seq:08d}" + (f"-{self.writer}" if self.writer else "")

    @property
    def records(self) -> int:
        """Return the number of new records, including rejected ones."""
        return sum(file.records for file in self.files)

    @property
    def rejected(self) -> int:
        """Return the number of new records that broke a rule."""
        return sum(file.rejected for file in self.files)

    @property
    def filtered(self) -> int:
        """Return the number of new records that a mapping leaves out."""
        return sum(file.filtered for file in self.files)

    def has_rows_outside(self, limits: str) -> bool:
        """Return whether some rows may be outside of the limits with this digest."""
        return self.limits != limits or self.outside > 0

    def as_json(self) -> str:
        """Return the text of the manifest file."""
        return json.dumps(
            {**asdict(self), "loaded_at": self.loaded_at.isoformat()}, ensure_ascii=False, indent=1
        )

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Return the manifest of a text that `as_json` returned."""
        content: dict[str, Any] = json.loads(text)
        return cls(
            batch_seq=content["batch_seq"],
            table=content["table"],
            loaded_at=datetime.fromisoformat(content["loaded_at"]),
            files=[FileRecord(**file) for file in content["files"]],
            models=content["models"],
            limits=content.get("limits", ""),
            outside=content.get("outside", 0),
            writer=content.get("writer", ""),
            discarded=[DiscardedFile(**file) for file in content.get("discarded", [])],
            restated=content.get("restated", 0),
            schema_version=content.get("schema_version", 0),
        )


class Lake:
    """The lake of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._root = home.lake
        self._tmp = home.tmp

    def manifests(self, first: int = 0) -> list[Manifest]:
        """Return the manifests of the batches from a number on, in the order in which they landed."""
        # A listing is not used: if batches are committed while it is read, it may have the later of two and
        # lack the earlier one.
        files = [self._manifest_file(number) for number in range(first, self.next_batch())]
        return [Manifest.from_json(file.read_text(encoding="utf-8")) for file in files if file.exists()]

    def next_batch(self) -> int:
        """Return the number of the batch that is committed next; numbers are never used twice."""
        # An editor or another system may leave other files beside the manifests.
        numbers = [
            int(file.stem)
            for file in (self._root / "_manifests").glob("*.json")
            if MANIFEST.fullmatch(file.name)
        ]
        return max(numbers, default=-1) + 1

    def batch_folder(self, table: str, manifest: Manifest) -> Path:
        """Return the folder of a batch's Parquet files of one table."""
        return self._root / table / manifest.folder

    def parquet_files(self, table: str, manifests: Sequence[Manifest]) -> list[Path]:
        """Return the Parquet files of one table in committed batches."""
        folders = (self.batch_folder(table, manifest) for manifest in manifests)
        # Only regular files: DuckDB would wait for a pipe that somebody put there.
        return [file for folder in folders for file in sorted(folder.glob("*.parquet")) if file.is_file()]

    @property
    def price_book(self) -> Path:
        """Return the folder of the resolved price book, a snapshot that is replaced."""
        return self._root / "price_book"

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield an empty folder for a batch that is being written, and remove it afterwards."""
        folder = self._tmp / f"batch-{uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, manifest: Manifest, staging_dir: Path) -> bool:
        """Move the staged folder of each table to its place, then write the manifest, which commits the
        batch.

        Return False if another process has taken the number in the meantime. Then the folders are staged
        again.
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

    def replace(self, manifest: Manifest, staging_dir: Path) -> None:
        """Replace a committed batch by the manifest and by the finished folders in `staging_dir`, one for
        each of its tables.

        The new folders have names of their own, so that replacing the manifest changes the batch at once: a
        killed process leaves either the old batch or the new one, and folders that `remove_orphans` removes.
        A copy of the lake cannot mistake the new files for the old ones either.
        """
        changed = replace(manifest, writer=uuid4().hex[:12])
        before = [
            folder for folder in self._root.glob(f"*/batch={manifest.batch_seq:08d}*") if folder.is_dir()
        ]
        for folder in sorted(path for path in staging_dir.iterdir() if path.is_dir()):
            move_folder(folder, self.batch_folder(folder.name, changed))
        self.restate(changed)
        for folder in before:
            shutil.rmtree(folder)

    def restate(self, manifest: Manifest) -> None:
        """Write the manifest of a committed batch again."""
        replace_text(self._manifest_file(manifest.batch_seq), manifest.as_json())

    def _manifest_file(self, number: int) -> Path:
        return self._root / "_manifests" / f"{number:08d}.json"

    def remove_left_overs(self) -> None:
        """Delete what killed processes left, unless workers add to the lake. The caller holds the writer
        lock.
        """
        with self._home.without_workers(wait=False) as alone:
            if alone:
                self.remove_orphans(keep_prepared=PREPARED_SECONDS)

    def remove_orphans(self, *, keep_prepared: float = 0) -> None:
        """Delete what killed processes left: folders without a manifest, staged files, and prepared batches
        that are older than `keep_prepared` seconds.

        The caller holds the writer lock and keeps workers out, because the batches that they are about to
        commit look the same.
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
        """Keep a staged batch for another process to commit, and return the name for `taking_prepared`."""
        name = f"prepared-{uuid4().hex}"
        move_folder(staging_dir, self._tmp / name)
        return name

    @contextmanager
    def taking_prepared(self, name: str) -> Iterator[Path | None]:
        """Yield the staging folder of a prepared batch to the first process that takes it.

        Yield None to all others, and if the batch has been deleted.
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
                # Another process took the number of a killed one. Manifests are read only in this case,
                # because there may be thousands of them.
                manifest = Manifest.from_json(file.read_text(encoding="utf-8"))
                yield from (folder for folder in own if folder.name != manifest.folder)
