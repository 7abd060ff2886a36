"""Where loaded files are now. A landed file never changes, but operators correct, move or remove bad ones.

A loaded file is identified by its content. A file that was refused as a whole is identified by its name, too,
because the name was often the reason.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from ingestion.lake.batches import LOADED, UNREADABLE, FileRecord, Manifest
from ingestion.landing.area import Landing, LandingFile
from ingestion.readers.inspection import check_openable
from ingestion.readers.layout import UnreadableFileError
from ingestion.sources.registry import sources
from paywall_warehouse.files import sha256
from paywall_warehouse.settings import Settings


class LandedNow:
    """Compares the landing area with the files in the lake's manifests. Files are listed and read only on
    demand.
    """

    def __init__(self, settings: Settings, manifests: Iterable[Manifest]) -> None:
        self._landing = Landing.of(settings)
        self._sources = sources(settings.home)
        self._records = [file for manifest in manifests for file in manifest.files]
        self._listings: dict[str, list[LandingFile]] = {}
        self._digests: dict[tuple[str, str], str | None] = {}

    def files(self, source: str) -> list[LandingFile]:
        """Return every finished file of a source."""
        if source not in self._listings:
            # The lake may have files of a source that this version no longer reads.
            self._listings[source] = (
                self._sources[source].files(self._landing) if source in self._sources else []
            )
        return self._listings[source]

    def places(self, record: FileRecord) -> Iterator[LandingFile]:
        """Yield the places of a loaded file with its content unchanged: its own name first, then names from
        which nothing was loaded.
        """
        if record is not self._latest.get(_identity(record)):
            return
        if record.status == UNREADABLE and (record.source, record.path, record.sha256) in self._loaded:
            return  # a later load could read it, perhaps with more memory
        for file in self.files(record.source):
            if file.path == record.path and self._is_same(file, record):
                yield file
        if record.status != LOADED:
            return
        for file in self.files(record.source):
            is_other = (
                file.path != record.path and (file.source, file.path, record.sha256) not in self._loaded
            )
            if is_other and self._is_same(file, record):
                yield file

    def digest(self, file: LandingFile) -> str | None:
        """Return the SHA-256 of a file's content; None if it cannot be opened or is gone."""
        key = (file.path, file.fingerprint)
        if key not in self._digests:
            self._digests[key] = self._read(file)
        return self._digests[key]

    def _read(self, file: LandingFile) -> str | None:
        try:
            with self._landing.local_copy(file) as path:
                check_openable(file, path)
                return sha256(path)
        except (UnreadableFileError, FileNotFoundError):
            return None
        except OSError:
            # Behind a URL it may be a fault of the network, which does not mean that the file is gone.
            if self._landing.is_local:
                return None
            raise

    def _is_same(self, file: LandingFile, record: FileRecord) -> bool:
        if (file.path, file.fingerprint) == (record.path, record.fingerprint):
            return True
        if record.sha256 is not None and file.bytes != record.bytes:
            return False
        return self.digest(file) == record.sha256

    @cached_property
    def _latest(self) -> Mapping[object, FileRecord]:
        """Return the last record of each content under each name: a content may have come back."""
        return {_identity(record): record for record in self._records}

    @cached_property
    def _loaded(self) -> set[tuple[str, str, str | None]]:
        return {
            (record.source, record.path, record.sha256) for record in self._records if record.status == LOADED
        }


def _identity(record: FileRecord) -> object:
    return record.source, record.path, record.sha256, record.status
