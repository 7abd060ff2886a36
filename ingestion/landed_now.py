"""Where loaded files lie now: a landed file never changes, but operators put bad ones right, move or remove
them.

What was loaded is told by its content. What was refused as a whole was often refused for its name, so that
there the name belongs to it.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from ingestion.lake.batches import LOADED, UNREADABLE, FileRecord, Manifest
from ingestion.landing.area import Landing, LandingFile
from ingestion.readers.inspection import UnreadableFileError, check_openable
from ingestion.sources.registry import SOURCES
from paywall_warehouse.files import sha256
from paywall_warehouse.settings import Settings


class LandedNow:
    """The landing area beside what the lake remembers of it. Files are listed, and read, only as far as
    somebody asks.
    """

    def __init__(self, settings: Settings, manifests: Iterable[Manifest]) -> None:
        self._landing = Landing.of(settings)
        self._records = [file for manifest in manifests for file in manifest.files]
        self._listings: dict[str, list[LandingFile]] = {}
        self._digests: dict[tuple[str, str], str | None] = {}

    def files(self, source: str) -> list[LandingFile]:
        """Return every finished file of a source."""
        if source not in self._listings:
            # The lake may remember one that a later version does not read any more.
            self._listings[source] = SOURCES[source].files(self._landing) if source in SOURCES else []
        return self._listings[source]

    def places(self, record: FileRecord) -> Iterator[LandingFile]:
        """Yield where a loaded file lies as it was landed: under its name first, then under names that
        nothing was loaded from.
        """
        if record is not self._latest.get(_identity(record)):
            return
        if record.status == UNREADABLE and (record.source, record.path, record.sha256) in self._loaded:
            return  # it could be read later on, perhaps with more memory
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
        """Return the SHA-256 of a file's content, None where it cannot be opened or is gone."""
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
            # Elsewhere it may be the network, of which nothing follows for the file.
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
        """Of records with the same content under the same name, such as one that came back, the last."""
        return {_identity(record): record for record in self._records}

    @cached_property
    def _loaded(self) -> set[tuple[str, str, str | None]]:
        return {
            (record.source, record.path, record.sha256) for record in self._records if record.status == LOADED
        }


def _identity(record: FileRecord) -> object:
    return record.source, record.path, record.sha256, record.status
