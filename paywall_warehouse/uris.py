"""Places that a path or an fsspec URL names."""

import os
import re
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

# A store takes its time for each file, however small.
UPLOADS_AT_ONCE = 8


def open_filesystem(uri: str) -> tuple[Any, str]:
    """The file system behind a path or an fsspec URL, and the path in it, without a `/` at its end.

    Credentials are found as each store's own library finds them. Raises `ValueError` or `ImportError` for a protocol that cannot be
    opened here.
    """
    # A path may contain what fsspec would take for a chain of URLs. Listings change under us: nothing is remembered.
    filesystem, root = fsspec.core.url_to_fs(uri, use_listings_cache=False) if "://" in uri else (LocalFileSystem(), os.path.abspath(uri))
    return filesystem, root.rstrip("/")


def put_file(filesystem: Any, file: Path, path: str) -> None:
    """Write a local file to a store, whole."""
    try:
        filesystem.put_file(str(file), path)
    except FileNotFoundError:
        # Some file systems have folders, and want them first; an object store is not asked for what it does not need.
        filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        filesystem.put_file(str(file), path)


def shown_uri(uri: str) -> str:
    """A URL for people: it may hold a password."""
    return re.sub(r"//[^/]*@", "//***@", uri)
