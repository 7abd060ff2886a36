"""The landed files that no batch has loaded, from a listing: no file is opened."""

import hashlib
from collections.abc import Iterable

from ingestion.lake.batches import FileRecord, Lake
from ingestion.landing.area import Landing, LandingFile
from ingestion.receiver.segments import seal_local
from ingestion.sources.registry import landed_files, sources
from ingestion.unread_files import unread_folders
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
