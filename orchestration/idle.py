"""The decision whether a run has anything to do, made before Dagster and dbt are imported.

It asks the functions that the steps of a run use. In any doubt there is a reason: the run then decides.
"""

# ruff: noqa: PLC0415  the readers are slow to import, and most runs with nothing new read no file

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from exports.catalog import is_complete
from ingestion.configured_pulls import pulls_anything
from ingestion.lake.batches import Lake, Manifest
from ingestion.lake.erasures import read_registry
from ingestion.lake.row_limits import RowLimits
from ingestion.landing.area import Landing, LandingFile
from ingestion.pulls.failures import failed_pulls
from ingestion.receiver.segments import open_segments
from ingestion.sources.registry import Source, sources
from ingestion.staging.candidates import candidates_of, discarded_states, is_stale, may_wait_for_users
from orchestration.dagster_home import DAGSTER_YAML
from orchestration.history import DamagedHistoryError, check_history, may_have_unfinished_runs
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from warehouse.code_version import code_version
from warehouse.plan import is_build_needed

# More is not read here, because a run would read it again. It takes a second or less.
MOST_BYTES_READ: Final = 256 << 20

Candidates = Mapping[str, Sequence[LandingFile]]
"""By source, the files whose content has to be read to know whether it is new."""


def reason_to_run(settings: Settings) -> str | None:
    """Return why a run may have something to do; None if it would find nothing.

    Changes nothing. The caller holds the run lock and the writer lock, and has cleared up after killed runs.
    Raises whatever a run would raise.
    """
    return next(_reasons(settings), None)


def _reasons(settings: Settings) -> Iterator[str]:
    """Yield reasons, the cheapest first."""
    home = settings.home
    if settings.warehouse_target != "duckdb":
        yield "the warehouse is built on a cluster"
    if pulls_anything(settings):
        yield "a pull is configured"
    if failed_pulls(home):
        yield "a pull has failed and is no longer configured"
    if read_registry(home).unfinished:
        yield "an erasure was interrupted"
    yield from _reasons_of_history(home)
    landing, manifests, known = Landing.of(settings), Lake(home).manifests(), sources(home)
    if landing.is_local and open_segments(Path(landing.root)):
        yield "the receiver has deliveries that are not sealed"
    for source in known.values():
        yield from _reasons_of_batches(settings, source, manifests)
    files = {name: source.files(landing) for name, source in known.items()}
    candidates = {
        name: found for name in known if (found := candidates_of(known[name], files[name], manifests))
    }
    yield from _reasons_of_listing(landing, files, candidates, manifests)
    if is_build_needed(settings, manifests, code_version()):
        yield "the published file is not up to date"
    if not is_complete(settings):
        yield "the publication is not exported completely"
    if _has_new_content(settings, landing, known, candidates, manifests):
        yield "a landed file is new or has changed"


def _reasons_of_history(home: Home) -> Iterator[str]:
    """Yield why Dagster has to look: it may have to settle a run, or to refuse its settings."""
    try:
        if (home.dagster / "dagster.yaml").read_text(encoding="utf-8") != DAGSTER_YAML:
            yield "dagster.yaml was changed"
        check_history(home.dagster)
    except (OSError, UnicodeDecodeError, DamagedHistoryError):
        yield "Dagster's home cannot be read"
    if may_have_unfinished_runs(home.dagster):
        yield "Dagster's history has a run that has not ended"


def _reasons_of_batches(settings: Settings, source: Source, manifests: Sequence[Manifest]) -> Iterator[str]:
    if source.mapping is None:
        return
    if any(is_stale(file, source) for manifest in manifests for file in manifest.files):
        yield f"the mapping {source.name} has changed"
    if may_wait_for_users(source, manifests, RowLimits.of(settings).digest):
        yield f"rows of {source.name} may wait for the user of another entry"


def _reasons_of_listing(
    landing: Landing, files: Candidates, candidates: Candidates, manifests: Sequence[Manifest]
) -> Iterator[str]:
    """Yield what the listing of the landing area shows, without a look into the files."""
    discarded = discarded_states(manifests)
    if any((file.path, file.fingerprint) in discarded for found in files.values() for file in found):
        yield "a discarded file is in the landing area, about which a run warns"
    sizes = {(file.source, file.bytes) for manifest in manifests for file in manifest.files}
    if any((name, file.bytes) not in sizes for name, found in candidates.items() for file in found):
        yield "a landed file is new"
    if candidates and not landing.is_local:
        yield "a file would have to be downloaded to know whether it is new"
    if sum(file.bytes for found in candidates.values() for file in found) > MOST_BYTES_READ:
        yield "too much would have to be read to know whether it is new"


def _has_new_content(
    settings: Settings,
    landing: Landing,
    known: Mapping[str, Source],
    candidates: Candidates,
    manifests: Sequence[Manifest],
) -> bool:
    """Read the candidates, as a load does, and check whether one of them is more than a repetition."""
    if not candidates:
        return False
    from ingestion.staging.new_files import find_new_files

    records = [file for manifest in manifests for file in manifest.files]
    with ExitStack() as copies:
        for name, files in candidates.items():
            own = [file for file in records if file.source == name]
            found = find_new_files(settings.duckdb_config(), own, files, landing, known[name], copies)
            if found.readable or found.unreadable or found.warnings:
                return True
    return False
