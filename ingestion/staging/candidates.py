"""What a load of a source has to look into: landed files that no batch lists as they are now, and batches
whose rows may have to be made again.

Imports no reader, because a run with nothing new reads no file.
"""

from collections.abc import Iterable, Sequence

from ingestion.lake.batches import LOADED, FileRecord, Manifest
from ingestion.landing.area import LandingFile
from ingestion.sources.registry import Source


def candidates_of(
    source: Source, files: Iterable[LandingFile], manifests: Sequence[Manifest]
) -> list[LandingFile]:
    """Return the files of a source that were neither loaded nor discarded under this name and in this state.

    Their content may be known all the same: under another name, from a copied home, or as refused.
    """
    known = [file for manifest in manifests for file in manifest.files if file.source == source.name]
    loaded = {(file.path, file.fingerprint) for file in known if file.status == LOADED}
    known_states = loaded | discarded_states(manifests)
    return [file for file in files if (file.path, file.fingerprint) not in known_states]


def discarded_states(manifests: Iterable[Manifest]) -> set[tuple[str, str | None]]:
    """Return path and fingerprint of the files that were discarded."""
    return {(file.path, file.fingerprint) for manifest in manifests for file in manifest.discarded}


def is_stale(file: FileRecord, source: Source) -> bool:
    """Check whether another mapping than the present one made the rows of a file."""
    return (
        source.mapping is not None
        and file.source == source.name
        and file.status == LOADED
        and file.mapping != source.mapping.digest
    )


def may_wait_for_users(source: Source, manifests: Iterable[Manifest], limits: str) -> list[Manifest]:
    """Return the batches of a source in which rows may wait for the user of another entry.

    `limits` is the digest of the present limits. Only mappings with `user_of` have such rows.
    """
    if source.mapping is None or source.mapping.user_of is None:
        return []
    own = (one for one in manifests if any(file.source == source.name for file in one.files))
    return [manifest for manifest in own if manifest.has_rows_outside(limits)]
