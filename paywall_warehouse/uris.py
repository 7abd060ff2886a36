"""Places that a path or an fsspec URL names."""

import os
import re
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem


def open_filesystem(uri: str) -> tuple[Any, str]:
    """The file system behind a path or an fsspec URL, and the path in it, without a `/` at its end.

    Credentials are found as each store's own library finds them. Raises `ValueError` or `ImportError` for a protocol that cannot be
    opened here.
    """
    # A path may contain what fsspec would take for a chain of URLs. Listings change under us: nothing is remembered.
    filesystem, root = fsspec.core.url_to_fs(uri, use_listings_cache=False) if "://" in uri else (LocalFileSystem(), os.path.abspath(uri))
    return filesystem, root.rstrip("/")


def shown_uri(uri: str) -> str:
    """A URL for people: it may hold a password."""
    return re.sub(r"//[^/]*@", "//***@", uri)
