"""Loading one source: what is new in its landing folder becomes one batch of the lake."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ingestion.erasure.erase import finish_erasures
from ingestion.lake.batches import Lake, Manifest
from ingestion.lake.commit import commit
from ingestion.landing.area import Landing
from ingestion.receiver.segments import seal_local
from ingestion.sources.registry import Source, sources
from ingestion.staging.batch import stage_batch
from ingestion.staging.restate import apply_mapping, take_users
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings


@dataclass(frozen=True)
class LoadResult:
    """What a load did; `batch_seq` is None if nothing was new."""

    source: str
    batch_seq: int | None = None
    files: int = 0
    records: int = 0
    accepted: int = 0
    rejected: int = 0
    filtered: int = 0
    """Records that a mapping leaves out on purpose."""
    warnings: list[str] = field(default_factory=list)


def load(
    settings: Settings,
    source_name: str,
    *,
    drop_build: Callable[[Home], None],
    on_new: Callable[[Home], None] = lambda _: None,
) -> LoadResult:
    """Load every file of one landing folder that is new since the last batch, as one batch.

    Files are identified by their content: the same bytes under another name are loaded once, and a known name
    with new bytes is loaded with a warning. An unreadable file becomes a reject once and is tried again on
    every load. `on_new` is called as soon as a new file is found, because a build will follow. `drop_build`
    is called if an interrupted erasure has to be finished first: what was built from the lake still names
    the person.

    Raises `LandingFileChangedError` if a file changed or disappeared while it was read. Then nothing is
    committed.
    """
    source = sources(settings.home)[source_name]
    with settings.home.writing():
        lake = Lake(settings.home)
        lake.remove_left_overs()
        finish_erasures(settings, drop_build)
        landing = Landing.of(settings)
        warnings = apply_mapping(settings, lake, source)
        if source.name == "events":
            # What the receiver has acknowledged until now belongs to this run.
            seal_local(landing, warnings.append)
        while True:
            with lake.staging() as staging_dir:
                staged = stage_batch(
                    settings,
                    source,
                    source.files(landing),
                    staging_dir,
                    on_new=lambda: on_new(settings.home),
                )
                if staged.manifest is None:
                    take_users(settings, lake, source)
                    return LoadResult(source.name, warnings=warnings + staged.warnings)
                if committed := commit(
                    lake, staged.manifest, staged.seen_through, staging_dir, settings.duckdb_config()
                ):
                    take_users(settings, lake, source)
                    return load_result(source, _as_counted(lake, committed), warnings + staged.warnings)


def sources_in_use(settings: Settings, known: Mapping[str, Source]) -> list[str]:
    """Return the sources of which a file has landed or was loaded. The others cost a run nothing."""
    loaded = {file.source for manifest in Lake(settings.home).manifests() for file in manifest.files}
    landing = Landing.of(settings)
    return [name for name, source in known.items() if name in loaded or source.files(landing)]


def _as_counted(lake: Lake, manifest: Manifest) -> Manifest:
    """Return a manifest as it is now, with rows that no longer wait for the user of another entry."""
    [now] = [one for one in lake.manifests(manifest.batch_seq) if one.batch_seq == manifest.batch_seq]
    return now


def load_result(source: Source, manifest: Manifest, warnings: list[str]) -> LoadResult:
    """Return the result of a load that committed a batch."""
    return LoadResult(
        source=source.name,
        batch_seq=manifest.batch_seq,
        files=len(manifest.files),
        records=manifest.records,
        accepted=manifest.records - manifest.rejected - manifest.filtered,
        rejected=manifest.rejected,
        filtered=manifest.filtered,
        warnings=warnings,
    )
