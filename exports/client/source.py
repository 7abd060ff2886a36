"""The export that a pull reads: its catalog, its manifests and its files, by name and with retries.

Nothing is listed, so a consumer needs no permission for that. The source may be damaged or hostile: catalogs
and manifests are limited in size and validated.
"""

import errno
import re
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from exports.client import transfer
from exports.client.outcome import DatasetError, PullError
from exports.client.transfer import StalledError, TooLargeError
from exports.manifest import (
    CATALOG,
    MANIFEST,
    ROOT,
    Catalog,
    CatalogDataset,
    Manifest,
    ManifestError,
    read_catalog,
    read_manifest,
)
from paywall_warehouse.uris import open_filesystem, shown_uri

ATTEMPTS, FIRST_WAIT_SECONDS = 3, 1.0
DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
# A dataset takes 500 bytes of the catalog, and a day in two formats takes 1 to 2 kB of a manifest. These
# limits allow thousands of datasets and a century of days.
CATALOG_BYTES, MANIFEST_BYTES = 4 << 20, 64 << 20
NOT_UNDERSTOOD = "It was written by a later version (update this program), or is damaged."
TOKEN_TEXT = re.compile(r"[!-~]+")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Source:
    """An export at a path or an fsspec URL."""

    uri: str
    filesystem: Any = field(repr=False)
    root: str

    @classmethod
    def open(cls, uri: str, token: str | None = None) -> "Source":
        """Return the export at `uri`. A web server gets `token`, if there is one.

        Raises `PullError` if the URI cannot be used.
        """
        if not uri:
            raise PullError("no URI is given: name the place of an export", is_wrong_usage=True)
        try:
            filesystem, root = open_filesystem(uri, **_with_token(uri, token))
        except (ValueError, ImportError) as error:
            raise PullError(f"{shown_uri(uri)} cannot be opened: {error}", is_wrong_usage=True) from error
        return cls(uri, filesystem, root if root.endswith(f"/{ROOT}") else f"{root}/{ROOT}")

    def location(self, path: str) -> str:
        """Return the full address of a file for messages, without a password."""
        return f"{shown_uri(self.uri).rstrip('/').removesuffix(f'/{ROOT}')}/{ROOT}/{path}"

    def read(self, path: str, limit: int) -> bytes:
        """Return the content of a small file.

        Raises `FileNotFoundError`, `TooLargeError`, and `PullError` if the store cannot be read.
        """
        return self._with_retries(
            path, lambda: transfer.read_bytes(self.filesystem, f"{self.root}/{path}", limit)
        )

    def fetch(self, path: str, partial: Path, length: int) -> None:
        """Write a file of `length` bytes to `partial`, or complete what an interrupted pull left there."""
        self._with_retries(path, lambda: self._fetch(path, partial, length))

    def _fetch(self, path: str, partial: Path, length: int) -> None:
        if partial.exists():
            try:
                self._continue(path, partial, length)
                return
            except (ValueError, NotImplementedError):  # for example a web server without ranges
                partial.unlink()
        transfer.fetch(self.filesystem, f"{self.root}/{path}", partial, length)

    def _continue(self, path: str, partial: Path, length: int) -> None:
        transfer.fetch(self.filesystem, f"{self.root}/{path}", partial, length)

    def _with_retries(self, path: str, action: Callable[[], Result]) -> Result:
        failures = 0
        while True:
            try:
                return action()
            except (FileNotFoundError, TooLargeError):
                raise
            except Exception as error:  # every store has its own errors; their messages are all we have
                failures += 1
                if isinstance(error, OSError) and error.errno in DISK_FAULTS:
                    raise
                if failures == ATTEMPTS or isinstance(error, PermissionError):
                    kind = "" if isinstance(error, StalledError) else f"{type(error).__name__}: "
                    raise PullError(
                        f"{self.location(path)} cannot be read: {kind}{error}. Pull again."
                    ) from error
                time.sleep(FIRST_WAIT_SECONDS * 3 ** (failures - 1))

    def catalog(self) -> Catalog:
        """Return the catalog of the export. Raises `PullError`."""
        location = self.location(CATALOG)
        try:
            return read_catalog(self.read(CATALOG, CATALOG_BYTES), location)
        except FileNotFoundError:
            raise PullError(
                f"{location} does not exist: nothing has been exported there yet, or the URI is not what"
                " EXPORT_URI names there.",
                is_wrong_usage=True,
            ) from None
        except TooLargeError as error:
            raise PullError(f"{location} {error}, which no catalog has. {NOT_UNDERSTOOD}") from None
        except ManifestError as error:
            raise PullError(f"{error}. {NOT_UNDERSTOOD}") from error

    def manifest_bytes(self, entry: CatalogDataset) -> bytes:
        """Return the text of a dataset's manifest. Raises `DatasetError`."""
        location = self.location(entry.manifest)
        try:
            return self.read(entry.manifest, MANIFEST_BYTES)
        except TooLargeError as error:
            raise DatasetError(f"{location} {error}, which no manifest has. {NOT_UNDERSTOOD}") from None
        except FileNotFoundError:
            raise DatasetError(
                f"{location} does not exist, though the catalog names it. Pull again."
            ) from None

    def validated_manifest(self, content: bytes, entry: CatalogDataset) -> Manifest:
        """Return the manifest in `content`. Raises `DatasetError` if it is not a manifest of this dataset."""
        location = self.location(entry.manifest)
        try:
            manifest = read_manifest(content, location)
        except ManifestError as error:
            raise DatasetError(f"{error}. {NOT_UNDERSTOOD}") from error
        if not manifest.dataset == entry.name == entry.manifest.removesuffix(f"/{MANIFEST}"):
            raise DatasetError(
                f"{location}: dataset: is {manifest.dataset!r}, which the catalog calls {entry.name!r}."
                f" {NOT_UNDERSTOOD}"
            )
        days: list[Hashable] = [partition.date for partition in manifest.partitions]
        paths: list[Hashable] = [file.path for file in manifest.files]
        if duplicates := [name for name, count in Counter(days + paths).items() if count > 1]:
            raise DatasetError(f"{location}: partitions: {duplicates[0]} occurs twice. {NOT_UNDERSTOOD}")
        return manifest


def _with_token(uri: str, token: str | None) -> dict[str, Any]:
    """Return the options with which fsspec sends a token. Raises `PullError` if it cannot be sent there."""
    if token is None:
        return {}
    if not uri.startswith(("http://", "https://")):
        raise PullError(
            f"{shown_uri(uri)} gets no token: only a web server asks for one. Leave the token out.",
            is_wrong_usage=True,
        )
    if not TOKEN_TEXT.fullmatch(token):
        raise PullError("the token is empty, or has spaces or line feeds", is_wrong_usage=True)
    return {"client_kwargs": {"headers": {"Authorization": f"Bearer {token}"}}}
