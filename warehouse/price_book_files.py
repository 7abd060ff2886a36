"""The files of the resolved price book, and what they were resolved from.

Imports neither `genai-prices` nor pyarrow, which take as long as the rest of a run with nothing new.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from ingestion.lake.batches import Lake, Manifest
from ingestion.lake.row_limits import RowLimits
from paywall_warehouse.files import replace_text
from paywall_warehouse.quoting import file_literal
from paywall_warehouse.settings import Settings
from warehouse.code_version import code_version

# The tables of the snapshot.
PRICE_BOOK_TABLES = (
    "models",
    "model_rates",
    "markups",
    "bill_providers",
    "bill_scopes",
    "billed_models",
)


def price_book_relation(lake: Lake, table: str) -> str:
    """Return SQL for DuckDB: a relation with one table of the snapshot."""
    return f"read_parquet({file_literal(str(lake.price_book / f'{table}.parquet'))})"


def is_resolved(settings: Settings, lake: Lake, manifests: Iterable[Manifest]) -> bool:
    """Check whether resolving the price book again would write the same files."""
    tables = (lake.price_book / f"{table}.parquet" for table in PRICE_BOOK_TABLES)
    try:
        noted = _inputs_file(lake).read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return noted == inputs_digest(settings, manifests) and all(table.is_file() for table in tables)


def inputs_digest(settings: Settings, manifests: Iterable[Manifest]) -> str:
    """Return a digest of everything that the price book is resolved from: code, rates, batches, settings."""
    digest = hashlib.sha256()
    parts = [
        code_version(),
        version("genai-prices"),
        settings.default_currency,
        RowLimits.of(settings).digest,
    ]
    for part in (*parts, *(manifest.as_json() for manifest in manifests)):
        digest.update(f"{part}\0".encode())
    return digest.hexdigest()


@contextmanager
def noted_inputs(lake: Lake, digest: str) -> Iterator[None]:
    """Note the digest of the inputs once the block has written all files. A killed process leaves no digest,
    or that of an earlier process with the same inputs.
    """
    file = _inputs_file(lake)
    if file.exists() and file.read_text(encoding="utf-8") == digest:
        yield
        return
    file.unlink(missing_ok=True)
    yield
    replace_text(file, digest)


def _inputs_file(lake: Lake) -> Path:
    return lake.price_book / "inputs.sha256"
