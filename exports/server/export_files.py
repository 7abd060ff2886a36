"""The export tree over HTTP, so that `pull` mirrors it: only what the export wrote, and no path out of it."""

import re
from collections.abc import Collection
from typing import Any, BinaryIO

from exports.client.transfer import PIECE_BYTES
from exports.manifest import CATALOG, FILE_PATH, MANIFEST, ROOT, Catalog, read_catalog, to_bytes
from exports.server.answers import ApiError
from paywall_warehouse.uris import open_filesystem

DATASET_FILE = re.compile(r"v1/([a-z][a-z0-9_]*)/(.+)", re.ASCII)
FILE_NAME = re.compile(FILE_PATH.strip("^$"), re.ASCII)
CATALOG_PATH = f"{ROOT}/{CATALOG}"


class ExportFiles:
    """The files of the export at a path or URL."""

    def __init__(self, uri: str) -> None:
        self._filesystem, self._root = open_filesystem(uri)

    def catalog(self, names: Collection[str]) -> bytes:
        """Return the catalog with some datasets only. Raises `ApiError`."""
        try:
            catalog = read_catalog(self._filesystem.cat_file(self._at(CATALOG_PATH)), CATALOG)
        except FileNotFoundError:
            raise _missing() from None
        own = [entry for entry in catalog.datasets if entry.name in names]
        return to_bytes(Catalog.model_validate({**catalog.model_dump(), "datasets": own}))

    def open(self, path: str) -> tuple[BinaryIO, int]:
        """Return an open file of a dataset and its size. Raises `ApiError`."""
        try:
            size = int(self._filesystem.info(self._at(path))["size"])
            opened: Any = self._filesystem.open(self._at(path), "rb", block_size=PIECE_BYTES)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise _missing() from None
        return opened, size

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"


def dataset_of(path: str) -> str:
    """Return the dataset that a path of the export tree belongs to. Raises `ApiError` for any other path."""
    found = DATASET_FILE.fullmatch(path)
    if found is None or not (found[2] == MANIFEST or FILE_NAME.fullmatch(found[2])):
        raise _missing()
    return found[1]


def _missing() -> ApiError:
    return ApiError(404, "there is no such file in the export")
