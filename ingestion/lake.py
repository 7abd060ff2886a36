"""The lake: batches of Parquet files that are there whole or not at all.

A batch's files are written aside, moved to `lake/<table>/batch=<number>/`, and then named by a manifest in `lake/_manifests/`.
The manifest is the commit: a folder that no manifest names is what a killed process left, and is removed. Which landed files
have been loaded is known from the manifests alone.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from paywall_warehouse.files import move_folder, replace_text
from paywall_warehouse.home import Home

LOADED = "loaded"
UNREADABLE = "unreadable"


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
    """Of a Stripe file: report_type, account_id, livemode, covered_from, covered_until (instants as ISO 8601 text or None)."""


@dataclass(frozen=True)
class Manifest:
    """What one batch brought."""

    batch_seq: int
    table: str
    loaded_at: datetime
    files: list[FileRecord]
    models: list[str] = field(default_factory=list)
    """The distinct model texts of the batch, for the price book."""

    @property
    def records(self) -> int:
        """New records, rejected ones included."""
        return sum(file.records for file in self.files)

    @property
    def rejected(self) -> int:
        """New records that broke a rule."""
        return sum(file.rejected for file in self.files)

    def as_json(self) -> str:
        """The manifest's text."""
        return json.dumps({**asdict(self), "loaded_at": self.loaded_at.isoformat()}, ensure_ascii=False, indent=1)

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
        )


class Lake:
    """The lake of one home."""

    def __init__(self, home: Home) -> None:
        self._root = home.lake
        self._tmp = home.tmp

    def manifests(self) -> list[Manifest]:
        """All committed batches, in the order in which they landed."""
        files = sorted((self._root / "_manifests").glob("*.json"))
        return [Manifest.from_json(file.read_text(encoding="utf-8")) for file in files]

    def next_batch(self) -> int:
        """The number of the batch that is written next; numbers are never used twice."""
        numbers = [int(file.stem) for file in (self._root / "_manifests").glob("*.json")]
        return max(numbers, default=-1) + 1

    def batch_folder(self, table: str, batch_seq: int) -> Path:
        """Where a batch's Parquet files of one table lie."""
        return self._root / table / f"batch={batch_seq:08d}"

    def parquet_files(self, table: str, manifests: Sequence[Manifest]) -> list[Path]:
        """The Parquet files of one table in committed batches."""
        folders = (self.batch_folder(table, manifest.batch_seq) for manifest in manifests)
        return [file for folder in folders for file in sorted(folder.glob("*.parquet"))]

    @property
    def price_book(self) -> Path:
        """The folder of the resolved price book, a snapshot that is replaced."""
        return self._root / "price_book"

    @contextmanager
    def writing_aside(self) -> Iterator[Path]:
        """An empty folder for a batch that is being written; gone afterwards."""
        folder = self._tmp / f"batch-{uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, manifest: Manifest, aside: Path) -> None:
        """Move the finished folder of each table to its place, then write the manifest that makes the batch real."""
        for folder in sorted(path for path in aside.iterdir() if path.is_dir()):
            move_folder(folder, self.batch_folder(folder.name, manifest.batch_seq))
        self.restate(manifest)

    def restate(self, manifest: Manifest) -> None:
        """Write the manifest of a batch whose files are in their places."""
        replace_text(self._root / "_manifests" / f"{manifest.batch_seq:08d}.json", manifest.as_json())

    def remove_orphans(self) -> None:
        """Delete what killed processes left: folders without a manifest, files aside. The caller holds the writer lock."""
        committed = {f"batch={int(file.stem):08d}" for file in (self._root / "_manifests").glob("*.json")}
        for folder in self._root.glob("*/batch=*"):
            if folder.name not in committed:
                shutil.rmtree(folder)
        for folder in (*self._tmp.glob("batch-*"), self._tmp / "landing", self._tmp / "spill"):
            shutil.rmtree(folder, ignore_errors=True)
