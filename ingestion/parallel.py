"""Ingestion by several workers: each makes the batch of a group of landed files, beside the others and
without a lock of theirs.

Where two versions of an entry tie, the one that landed last wins, and batch numbers say what landed last. So
groups are runs of files in the order of landing, and batches get their numbers in the order of the groups, in
a last step that reads and writes next to nothing.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from ingestion.lake.batches import Lake, Manifest
from ingestion.lake.commit import commit
from ingestion.landing.area import Landing, LandingFile
from ingestion.load import SOURCES, LoadResult, StagedBatch, in_portions, loaded, make_batch
from ingestion.receiver.segments import seal_local
from paywall_warehouse.settings import Settings

# A step of Dagster's takes some 5 s to start, in which a worker reads so much.
GROUP_BYTES = 256 << 20


@dataclass(frozen=True)
class Group:
    """Files of one source that landed one after the other, and become one batch."""

    number: int
    """Of the batch, where nobody commits anything else meanwhile; groups are committed in its order."""
    source: str
    files: tuple[LandingFile, ...]


@dataclass(frozen=True)
class Prepared:
    """What a worker has made of a group."""

    group: Group
    kept: str | None
    """The name by which the lake keeps it aside; None where nothing was new."""


def plan_groups(settings: Settings, group_bytes: int = GROUP_BYTES) -> list[Group]:
    """Every landed file that no batch knows, in groups of about so many bytes. What could not be read is left
    to `load` to try again.
    """
    lake, landing = Lake(settings.home), Landing.of(settings)
    # What the receiver has acknowledged until now belongs to this ingestion.
    seal_local(landing)
    manifests = lake.manifests()
    known: set[tuple[str, str, str | None]]
    known = {(file.source, file.path, file.fingerprint) for manifest in manifests for file in manifest.files}
    known |= {
        (file.source, file.path, file.fingerprint) for manifest in manifests for file in manifest.discarded
    }
    runs = []
    for source in SOURCES.values():
        files = [
            file for file in source.files(landing) if (source.name, file.path, file.fingerprint) not in known
        ]
        runs += [(source.name, run) for run in in_portions(files, lambda file: file.bytes, group_bytes)]
    return [Group(number, source, tuple(run)) for number, (source, run) in enumerate(runs, lake.next_batch())]


def prepare(settings: Settings, group: Group) -> Prepared:
    """Make the batch of a group and keep it aside."""
    lake = Lake(settings.home)
    with settings.home.working(), lake.staging() as staging_dir:
        made = _make(settings, group, staging_dir, group.number)
        if made.manifest is None:
            return Prepared(group, None)
        _write(made, made.manifest, staging_dir)
        return Prepared(group, lake.keep_prepared(staging_dir))


def commit_groups(settings: Settings, prepared: Iterable[Prepared]) -> Iterator[LoadResult]:
    """Put what was prepared into the lake, in the order of the groups.

    A batch is made again where it is gone, where one of its files has changed, or where somebody else has
    loaded one; so this may be cut short, repeated, or done by several at once.
    """
    for one in sorted(prepared, key=lambda one: one.group.number):
        with settings.home.working():
            if one.kept and (
                result := _commit_kept(settings, one.group, one.kept) or _make_and_commit(settings, one.group)
            ):
                yield result


def _commit_kept(settings: Settings, group: Group, kept: str) -> LoadResult | None:
    with Lake(settings.home).taking_prepared(kept) as staging_dir:
        if staging_dir is None:
            return None
        made, manifest = _read(staging_dir)
        if not _are_unchanged(settings, group, manifest):
            return None
        return _commit(settings, group, made, manifest, staging_dir)


def _make_and_commit(settings: Settings, group: Group) -> LoadResult | None:
    """What is new of a group now; None where nothing is."""
    while True:
        with Lake(settings.home).staging() as staging_dir:
            made = _make(settings, group, staging_dir)
            if made.manifest is None:
                return None
            if result := _commit(settings, group, made, made.manifest, staging_dir):
                return result


def _make(settings: Settings, group: Group, staging_dir: Path, number: int | None = None) -> StagedBatch:
    """A file that has changed since the plan has landed anew, behind the others: it is left to the next
    ingestion.
    """
    landing = Landing.of(settings)
    files = [file for file in group.files if landing.is_unchanged(file)]
    return make_batch(settings, SOURCES[group.source], files, staging_dir, number=number)


def _commit(
    settings: Settings, group: Group, made: StagedBatch, manifest: Manifest, staging_dir: Path
) -> LoadResult | None:
    committed = commit(settings, replace(manifest, writer=uuid4().hex[:12]), made.seen_through, staging_dir)
    return loaded(SOURCES[group.source], committed, made.warnings) if committed else None


def _are_unchanged(settings: Settings, group: Group, manifest: Manifest) -> bool:
    """Whether the files of a batch are still what was read: an erasure may have written them anew since."""
    landing, own = Landing.of(settings), {file.path for file in manifest.files}
    return all(landing.is_unchanged(file) for file in group.files if file.path in own)


def _write(made: StagedBatch, manifest: Manifest, staging_dir: Path) -> None:
    stated = {"manifest": manifest.as_json(), "seen_through": made.seen_through, "warnings": made.warnings}
    (staging_dir / "made.json").write_text(json.dumps(stated), encoding="utf-8")


def _read(staging_dir: Path) -> tuple[StagedBatch, Manifest]:
    stated = json.loads((staging_dir / "made.json").read_text(encoding="utf-8"))
    manifest = Manifest.from_json(stated["manifest"])
    return StagedBatch(manifest, stated["seen_through"], stated["warnings"]), manifest
