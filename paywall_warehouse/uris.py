"""Places that a path or an fsspec URL names."""

import os
import re
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

# A store takes its time for each file, however small.
UPLOADS_AT_ONCE = 8


# Nobody has a folder of such a name by accident. Of some, `:///` is a URL too: the default name node of HDFS.
STORES = "s3|s3a|s3n|gs|gcs|abfs|abfss|az|adl|wasbs?|https?|ftp|sftp|hdfs|webhdfs"
# `s3:/bucket`, `s3:bucket`, `s3//bucket`, `s3:///bucket`: a scheme without its `://`, or with a slash too
# many.
BROKEN_URL = re.compile(
    rf"\s*(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):[/\\](?!/)|(?P<store>{STORES})(?::(?!//)|//)|(?P<bucket>s3|s3a|gs|gcs|https?):///)",
    re.IGNORECASE,
)


def check_uri(uri: str) -> None:
    """Raise `ValueError` for a text that was meant as a URL and would be taken for a path."""
    found = BROKEN_URL.match(uri)
    if found is not None:
        scheme = found["scheme"] or found["store"] or found["bucket"]
        raise ValueError(
            f"allowed: a URL, {scheme.lower()}:// and what follows, or a path (a folder of that name:"
            f" ./{scheme}:…)"
        )


def open_filesystem(uri: str) -> tuple[Any, str]:
    """The file system behind a path or an fsspec URL, and the path in it, without a `/` at its end.

    Credentials are found as each store's own library finds them. Raises `ValueError` or `ImportError` for a
    protocol that cannot be opened here, and for what looks like a URL and is none.
    """
    check_uri(uri)
    # A path may contain what fsspec would take for a chain of URLs. Listings change under us: nothing is
    # remembered.
    filesystem, root = (
        fsspec.core.url_to_fs(uri, use_listings_cache=False)
        if "://" in uri
        else (LocalFileSystem(), os.path.abspath(uri))
    )
    return filesystem, root.rstrip("/")


def put_file(filesystem: Any, file: Path, path: str) -> None:
    """Write a local file to a store, whole."""
    try:
        filesystem.put_file(str(file), path)
    except FileNotFoundError:
        # Some file systems have folders, and want them first; an object store is not asked for what it does
        # not need.
        filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        filesystem.put_file(str(file), path)


def shown_uri(uri: str) -> str:
    """A URL for people: it may hold a password."""
    return re.sub(r"//[^/]*@", "//***@", uri)
