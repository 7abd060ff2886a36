"""Parallel ingestion: several workers each stage the batch of a group of landed files, without a lock.

If two versions of an entry tie, the one that landed last wins, and batch numbers decide which one that is. A
group is therefore a run of files in the order in which they landed, and batches get their numbers in the
order of the groups, in a last step that reads and writes very little.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from ingestion.lake.batches import Lake, Manifest
from ingestion.lake.commit import commit
from ingestion.landing.area import Landing, LandingFile
from ingestion.load import LoadResult, load_result
from ingestion.receiver.segments import seal_local
from ingestion.sources.registry import sources
from ingestion.staging.batch import StagedBatch, stage_batch
from ingestion.staging.portions import in_portions
from paywall_warehouse.settings import Settings

# A Dagster step takes about 5 s to start. In that time a worker reads this many bytes.
GROUP_BYTES = 256 << 20
# Older versions wrote this name. A batch that one of their workers has staged can still be committed.
STAGED = "made.json"


@dataclass(frozen=True)
class Group:
    """Files of one source that landed one after the other, and become one batch."""

    number: int
    """The number that the batch gets if no other process commits one. Groups are committed in this order."""
    source: str
    files: tuple[LandingFile, ...]


@dataclass(frozen=True)
class Prepared:
    """The batch of a group that a worker has staged."""

    group: Group
    name: str | None
    """The name under which the lake keeps the staged batch; None if nothing was new."""


def plan_groups(settings: Settings, group_bytes: int = GROUP_BYTES) -> list[Group]:
    """Return every landed file that no batch knows, in groups of at most `group_bytes` or one file.

    A file that could not be read is not in a group: `load` tries it again.
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
    for source in sources(settings.home).values():
        files = [
            file for file in source.files(landing) if (source.name, file.path, file.fingerprint) not in known
        ]
        runs += [(source.name, run) for run in in_portions(files, lambda file: file.bytes, group_bytes)]
    return [Group(number, source, tuple(run)) for number, (source, run) in enumerate(runs, lake.next_batch())]


def prepare(settings: Settings, group: Group) -> Prepared:
    """Stage the batch of a group and keep it for `commit_groups`."""
    lake = Lake(settings.home)
    with settings.home.working(), lake.staging() as staging_dir:
        staged = _stage(settings, group, staging_dir, group.number)
        if staged.manifest is None:
            return Prepared(group, None)
        _write(staged, staged.manifest, staging_dir)
        return Prepared(group, lake.keep_prepared(staging_dir))


def commit_groups(settings: Settings, prepared: Iterable[Prepared]) -> Iterator[LoadResult]:
    """Commit the prepared batches in the order of the groups, and yield the result of each.

    A batch is staged again if it is gone, if one of its files has changed, or if another process has loaded
    one of them. This function may therefore be interrupted, repeated, or run by several processes at once.
    """
    for one in sorted(prepared, key=lambda one: one.group.number):
        with settings.home.working():
            if one.name and (
                result := _commit_prepared(settings, one.group, one.name)
                or _stage_and_commit(settings, one.group)
            ):
                yield result


def _commit_prepared(settings: Settings, group: Group, name: str) -> LoadResult | None:
    """Commit a prepared batch; return None if it has to be staged again."""
    with Lake(settings.home).taking_prepared(name) as staging_dir:
        if staging_dir is None:
            return None
        staged, manifest = _read(staging_dir)
        if not _are_unchanged(settings, group, manifest):
            return None
        return _commit(settings, group, staged, manifest, staging_dir)


def _stage_and_commit(settings: Settings, group: Group) -> LoadResult | None:
    """Stage and commit what is new of a group now; return None if nothing is."""
    while True:
        with Lake(settings.home).staging() as staging_dir:
            staged = _stage(settings, group, staging_dir)
            if staged.manifest is None:
                return None
            if result := _commit(settings, group, staged, staged.manifest, staging_dir):
                return result


def _stage(settings: Settings, group: Group, staging_dir: Path, number: int | None = None) -> StagedBatch:
    """Stage the files of a group that have not changed since the plan.

    A changed file has landed again, after the others: it is left to the next ingestion.
    """
    landing = Landing.of(settings)
    files = [file for file in group.files if landing.is_unchanged(file)]
    return stage_batch(settings, sources(settings.home)[group.source], files, staging_dir, number=number)


def _commit(
    settings: Settings, group: Group, staged: StagedBatch, manifest: Manifest, staging_dir: Path
) -> LoadResult | None:
    committed = commit(
        Lake(settings.home),
        replace(manifest, writer=uuid4().hex[:12]),
        staged.seen_through,
        staging_dir,
        settings.duckdb_config(),
    )
    return (
        load_result(sources(settings.home)[group.source], committed, staged.warnings) if committed else None
    )


def _are_unchanged(settings: Settings, group: Group, manifest: Manifest) -> bool:
    """Check whether the files of a batch are still what was read: an erasure may have rewritten them."""
    landing, own = Landing.of(settings), {file.path for file in manifest.files}
    return all(landing.is_unchanged(file) for file in group.files if file.path in own)


def _write(staged: StagedBatch, manifest: Manifest, staging_dir: Path) -> None:
    content = {
        "manifest": manifest.as_json(),
        "seen_through": staged.seen_through,
        "warnings": staged.warnings,
    }
    (staging_dir / STAGED).write_text(json.dumps(content), encoding="utf-8")


def _read(staging_dir: Path) -> tuple[StagedBatch, Manifest]:
    content = json.loads((staging_dir / STAGED).read_text(encoding="utf-8"))
    manifest = Manifest.from_json(content["manifest"])
    return StagedBatch(manifest, content["seen_through"], content["warnings"]), manifest
