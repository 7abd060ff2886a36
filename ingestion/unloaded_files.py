"""The landed files that no batch has loaded, from a listing: no file is opened."""

import hashlib
from collections.abc import Iterable, Sequence

from ingestion.lake.batches import LOADED, FileRecord, Lake
from ingestion.landing.area import Landing, LandingFile
from ingestion.readers.inspection import check_openable
from ingestion.readers.layout import UnreadableFileError
from ingestion.receiver.segments import seal_local
from ingestion.sources.registry import landed_files, sources
from ingestion.unread_files import unread_folders
from paywall_warehouse.files import sha256
from paywall_warehouse.settings import Settings


def unloaded_files(settings: Settings) -> list[LandingFile]:
    """Return the landed files that no batch knows under this name and with this content."""
    known: dict[str, list[tuple[FileRecord, float]]] = {}
    discarded: set[tuple[str, str | None]] = set()
    for manifest in Lake(settings.home).manifests():
        discarded |= {(file.path, file.fingerprint) for file in manifest.discarded}
        for file in manifest.files:
            known.setdefault(file.path, []).append((file, manifest.loaded_at.timestamp()))
    return [
        file
        for file in landed_files(Landing.of(settings), sources(settings.home))
        if (file.path, file.fingerprint) not in discarded
        and not any(is_known(file, record, loaded_at) for record, loaded_at in known.get(file.path, []))
    ]


def waiting_files(settings: Settings) -> list[LandingFile]:
    """Return the landed files that the next load would load.

    Unlike `unloaded_files`, this reads new files: content that was loaded
    under another name does not wait.
    """
    unloaded = unloaded_files(settings)
    if not unloaded:
        return []
    landing = Landing.of(settings)
    records = [file for manifest in Lake(settings.home).manifests() for file in manifest.files]
    return [file for file in unloaded if not _is_loaded(landing, file, records)]


def _is_loaded(landing: Landing, file: LandingFile, records: Sequence[FileRecord]) -> bool:
    try:
        with landing.local_copy(file) as path:
            check_openable(file, path)
            digest = sha256(path)
    except UnreadableFileError:
        return False
    except FileNotFoundError:
        return True
    own = [record for record in records if (record.source, record.path) == (file.source, file.path)]
    loaded_here = [record.sha256 for record in own if record.status == LOADED]
    if digest in loaded_here:
        # A name that gets back content which it had before states that content again.
        return loaded_here[-1] == digest
    elsewhere = ((record.source, record.sha256, record.status) for record in records)
    # A file that was refused is refused again, while its content stays.
    return (file.source, digest, LOADED) in elsewhere or any(record.sha256 == digest for record in own)


def is_known(file: LandingFile, record: FileRecord, loaded_at: float) -> bool:
    """Check whether a file is the one that a manifest records.

    The files of a copied home have new inodes, but the old sizes and times.
    """
    return file.fingerprint == record.fingerprint or (
        file.bytes == record.bytes and file.landed_at <= loaded_at
    )


def run_key(files: Iterable[LandingFile]) -> str:
    """Return the same key for the same files, so that files that a run did not load do not start another
    run.
    """
    names = sorted(f"{file.path}\0{file.fingerprint}" for file in files)
    return hashlib.sha256("\0".join(names).encode()).hexdigest()


def nothing_landed(settings: Settings) -> bool:
    """Check whether the landing area has no finished file in any folder, and nothing has ever been loaded."""
    if Lake(settings.home).manifests():
        return False
    landing = Landing.of(settings)
    seal_local(landing)
    landed = landed_files(landing, sources(settings.home))
    return next(landed, None) is None and not unread_folders(settings)
