"""Discarding a landed file that was loaded but never published: its rows and rejects leave their batch.

The Parquet files of a batch never change. The batch is therefore written again without the file, beside the
old folders, and its manifest then names the new ones. Before that, what was built from the old batch is
dropped. If the process is killed, some of the files are discarded and some are not; the same command
discards the others.
"""

import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from ingestion.lake.batches import DiscardedFile, FileRecord, Lake, Manifest
from ingestion.lake.commit import write_rows
from ingestion.landed_now import LandedNow
from ingestion.landing.area import Landing, LandingFile
from ingestion.receiver.segments import FOLDER as RECEIVED
from ingestion.sources.registry import sources
from ingestion.staging.write import models_in
from paywall_warehouse.home import Home
from paywall_warehouse.quoting import literal, printable
from paywall_warehouse.settings import Settings

PATTERN = re.compile(r"[*?\[]")
# Messages show the place of a record as `file:line`.
LINE = re.compile(r":\d+$")
SUGGESTED = 3


class DiscardError(Exception):
    """Files that cannot be discarded. The text names each file, the reason and the remedy; nothing was
    changed.
    """


@dataclass(frozen=True)
class DroppedFile:
    """A file whose records are no longer in the lake."""

    record: FileRecord
    places: tuple[LandingFile, ...]
    """The places in the landing area where the file still is."""
    was_dropped: bool = False
    """Whether an earlier call had dropped it already."""


def discard(
    settings: Settings, paths: Sequence[str], published_through: int, *, drop_build: Callable[[Home], None]
) -> list[DroppedFile]:
    """Drop the records of these files from the batches after the last published one, and return the files.

    A path is a name from a message (`ledger/a.jsonl`), a path on this machine, or a pattern of either.
    `drop_build` is called before the lake changes. Raises `DiscardError` before anything is changed if a path
    names nothing that can be discarded. The caller holds the run lock.
    """
    with settings.home.writing(), settings.home.without_workers():
        lake = Lake(settings.home)
        lake.remove_orphans()
        manifests = lake.manifests()
        search = _Search(settings, manifests, published_through)
        found = search.all(paths)
        if any(not one.was_dropped for one in found):
            # The build goes first: the next run finds no new batch, and would keep a build that has the rows.
            drop_build(settings.home)
        for manifest in manifests:
            own = [one for one in found if any(one.record is file for file in manifest.files)]
            if own:
                _rewrite(settings.duckdb_config(), lake, manifest, own)
    return found


class _Search:
    """Finds the files that paths name."""

    def __init__(self, settings: Settings, manifests: Sequence[Manifest], published_through: int) -> None:
        self._settings, self._landing = settings, Landing.of(settings)
        self._manifests = manifests
        published = [manifest for manifest in manifests if manifest.batch_seq <= published_through]
        self._published = [(manifest, file) for manifest in published for file in manifest.files]
        self._new = [
            file
            for manifest in manifests
            for file in manifest.files
            if manifest.batch_seq > published_through
        ]
        self._now = LandedNow(settings, manifests)

    def all(self, paths: Sequence[str]) -> list[DroppedFile]:
        """Return the files that any of the paths names."""
        found: dict[int, FileRecord] = {}
        before: list[DroppedFile] = []
        faults = []
        for path in paths:
            try:
                records, dropped = self._find(path)
                found |= {id(record): record for record in records}
                before += dropped
            except DiscardError as error:
                faults.append(str(error))
        if faults:
            raise DiscardError("\n".join(faults))
        return [DroppedFile(record, tuple(self._now.places(record))) for record in found.values()] + before

    def _find(self, path: str) -> tuple[list[FileRecord], list[DroppedFile]]:
        """Return the files to drop for one path, or else the files that were dropped for it before."""
        names = list(self._names(path))
        for test in self._tests(names):
            if records := [record for record in self._new if test(record)]:
                self._refuse_acknowledged(records)
                return records, []
            if before := list(self._dropped_before(test)):
                return [], before
            if published := next(
                ((manifest, file) for manifest, file in self._published if test(file)), None
            ):
                manifest, file = published
                raise DiscardError(
                    f"{file.path} is published (loaded {manifest.loaded_at:%Y-%m-%d %H:%M} UTC) and stays:"
                    " only what was never published can be discarded. Land later versions of its entries to"
                    " correct them."
                )
        raise DiscardError(self._unknown(path, names))

    def _tests(self, names: Sequence[str]) -> Iterator["_Test"]:
        """Yield the tests that find the files of a path, the most exact test first."""
        yield _Test(names=frozenset(names))
        # A file that was moved within the landing area has the name under which it was loaded.
        digests = {
            (file.source, digest) for file in self._landed(names) if (digest := self._now.digest(file))
        }
        yield _Test(digests=frozenset(digests))
        without_line = frozenset(LINE.sub("", name) for name in names if LINE.search(name))
        yield _Test(names=without_line)
        yield _Test(patterns=tuple(name for name in names if PATTERN.search(name)))

    def _landed(self, names: Iterable[str]) -> Iterator[LandingFile]:
        wanted = set(names)
        for source in sources(self._settings.home):
            yield from (file for file in self._now.files(source) if file.path in wanted)

    def _names(self, path: str) -> Iterator[str]:
        """Yield the names below the landing area that a path may mean."""
        text = path.replace(os.sep, "/").removeprefix("./")
        roots = [self._settings.landing, self._settings.landing_shown, self._landing.root, "landing"]
        yield printable(text)
        yield from (printable(text.removeprefix(f"{root}/")) for root in roots if text.startswith(f"{root}/"))
        if self._landing.is_local:
            for below in (os.path.abspath(path), os.path.realpath(path)):
                for root in (self._landing.root, os.path.realpath(self._landing.root)):
                    if below.startswith(f"{root}/"):
                        yield printable(os.fsencode(below[len(root) + 1 :]).decode(errors="backslashreplace"))

    def _refuse_acknowledged(self, records: Iterable[FileRecord]) -> None:
        if received := next((record for record in records if record.path.startswith(f"{RECEIVED}/")), None):
            raise DiscardError(
                f"{received.path} holds webhooks that were acknowledged and will not be sent again: they are"
                " not discarded. Correct its lines in the file itself, or raise MAX_REJECT_RATIO for one"
                " run: its valid lines count, its rejects stay listed."
            )

    def _dropped_before(self, test: "_Test") -> Iterator[DroppedFile]:
        # The last entry of a name has the latest fingerprint of the file.
        last = {file.path: file for manifest in self._manifests for file in manifest.discarded if test(file)}
        for file in last.values():
            places = [now for now in self._landed([file.path]) if now.fingerprint == file.fingerprint]
            yield DroppedFile(_empty_record(file), tuple(places), was_dropped=True)

    def _unknown(self, path: str, names: Sequence[str]) -> str:
        if waiting := next(self._landed(names), None):
            return (
                f"{waiting.path} has not been loaded yet: there is nothing to drop. Remove it if it must not"
                " be loaded."
            )
        known = sorted({record.path for record in self._new})
        near = list(
            dict.fromkeys(match for name in names for match in get_close_matches(name, known, SUGGESTED))
        )
        shown = near or known[:SUGGESTED]
        more = (
            f" Loaded and not published: {', '.join(shown)}{', …' if len(known) > len(shown) else ''}."
            if shown
            else ""
        )
        return (
            f"{printable(path)}: nothing was loaded from such a file. Use the name that messages show, such"
            f" as ledger/a.jsonl.{more}"
        )


@dataclass(frozen=True)
class _Test:
    """A test whether a path means a loaded file."""

    names: frozenset[str] = frozenset()
    digests: frozenset[tuple[str, str]] = frozenset()
    patterns: tuple[str, ...] = ()

    def __call__(self, record: FileRecord | DiscardedFile) -> bool:
        return (
            record.path in self.names
            or (record.source, record.sha256) in self.digests
            or any(fnmatch.fnmatchcase(record.path, pattern) for pattern in self.patterns)
        )


def _empty_record(file: DiscardedFile) -> FileRecord:
    """Return a file record for a file whose records were dropped before."""
    return FileRecord(
        0, file.source, file.path, file.sha256, file.fingerprint or "", 0, "discarded", 0, 0, 0, 0
    )


def _rewrite(
    config: Mapping[str, Any], lake: Lake, manifest: Manifest, dropped: Sequence[DroppedFile]
) -> None:
    """Replace a batch by one without these files."""
    gone = [one.record for one in dropped]
    numbers = ", ".join(str(file.file_no) for file in gone)
    paths = ", ".join(literal(file.path) for file in gone)
    with lake.staging() as staging:
        for table, condition in (
            (manifest.table, f"file_no not in ({numbers})"),
            ("rejects", f"path not in ({paths})"),
        ):
            for parquet in lake.parquet_files(table, [manifest]):
                # A file without rows is written, too: `remove_orphans` compares the folders of a batch to
                # find those that a killed process left.
                (staging / table).mkdir(exist_ok=True)
                write_rows(config, parquet, "select *", condition, staging / table / parquet.name)
        changed = replace(
            manifest,
            files=[file for file in manifest.files if not any(file is one for one in gone)],
            models=models_in(config, staging / manifest.table, manifest.table) if manifest.models else [],
            # The next build counts again which of the remaining rows the settings keep out.
            limits="",
            discarded=[*manifest.discarded, *(entry for one in dropped for entry in _entries(one))],
        )
        lake.replace(changed, staging)


def _entries(dropped: DroppedFile) -> Iterator[DiscardedFile]:
    """Yield what the manifest keeps: the file under its name, and every place where it still is."""
    record = dropped.record
    if not any(place.path == record.path for place in dropped.places):
        yield DiscardedFile(record.source, record.path, record.sha256, None)
    for place in dropped.places:
        yield DiscardedFile(record.source, place.path, record.sha256, place.fingerprint)
