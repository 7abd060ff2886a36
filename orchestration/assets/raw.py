"""The lake: every source of the landing area as validated Parquet batches, and the price book."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from ingestion.lake.batches import LOADED, Lake
from ingestion.load import LoadResult, load
from ingestion.sources.registry import SOURCES
from ingestion.sources.stripe.reports import FOLDER, STRIPE_REPORTS
from orchestration.assets.landing import folder_key, stripe_key
from orchestration.resources import OWNER, Warehouse
from orchestration.retries import dagster_retries
from orchestration.run_lock import WRITER_POOL
from warehouse.build_file import copy_ahead, drop_build_file
from warehouse.price_book import resolve_price_book

PRICE_BOOK = dg.AssetKey(["raw", "price_book"])
FILES_LISTED = 20


@dataclass(frozen=True)
class RawTable:
    """A source of the landing area and the table of the lake that stores its records."""

    source: str
    """The name in `SOURCES`."""
    description: str
    upstream: dg.AssetKey
    """The asset that lands the files: a folder that other systems write, or a pulled Stripe report."""

    @property
    def name(self) -> str:
        """Return the name of the lake's table."""
        return SOURCES[self.source].table


RAW_TABLES = (
    RawTable(
        "ledger",
        "Every accepted ledger record (every version of an entry) as typed Parquet batches. "
        "Records that break a rule go to the rejects with file, line and reason.",
        folder_key("ledger"),
    ),
    RawTable(
        "events",
        "Every accepted webhook delivery, repeats included, as typed Parquet batches.",
        folder_key("events"),
    ),
    RawTable(
        "prices",
        "Every accepted row of the operator's own provider rates, as typed Parquet batches.",
        folder_key("prices"),
    ),
    RawTable(
        "markups",
        "Every accepted row of the operator's own markups, as typed Parquet batches. Only the last file"
        " holds.",
        folder_key("prices"),
    ),
    RawTable(
        "payments",
        "Every accepted payment on rails other than Stripe, as typed Parquet batches.",
        folder_key("payments"),
    ),
    *(
        RawTable(
            f"{FOLDER}/{stripe_report.name}",
            f"Every accepted row of Stripe's {stripe_report.name}, repeats in overlapping files included, as"
            " typed Parquet batches.",
            stripe_key(stripe_report),
        )
        for stripe_report in STRIPE_REPORTS
    ),
)


if missing := SOURCES.keys() - {table.source for table in RAW_TABLES}:
    raise LookupError(f"no run loads {', '.join(sorted(missing))}: add a RawTable for each to {__name__}")


def raw_asset(table: RawTable) -> dg.AssetsDefinition:
    """Return the asset that loads the new files of one source."""

    @dg.asset(
        key=["raw", table.name],
        deps=[table.upstream],
        description=table.description,
        group_name="raw",
        kinds={"parquet", "duckdb"},
        owners=[OWNER],
        pool=WRITER_POOL,
    )
    def load_new_files(
        context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> dg.MaterializeResult[None]:
        with dagster_retries(context):
            loaded = load(warehouse.settings, table.source, drop_build=drop_build_file, on_new=copy_ahead)
        for warning in loaded.warnings:
            context.log.warning(warning)
        context.log.info(describe_load(loaded))
        return dg.MaterializeResult(metadata=load_metadata(loaded, Lake(warehouse.settings.home)))

    return load_new_files


def describe_load(loaded: LoadResult) -> str:
    """Return a sentence about what was loaded."""
    if not loaded.files:
        return f"nothing new in landing/{loaded.source}"
    return f"{loaded.files} new files, {loaded.accepted:,} records accepted, {loaded.rejected:,} rejected"


def load_metadata(loaded: LoadResult, lake: Lake) -> dict[str, Any]:
    """Return the counts of this load and of the whole table, and the files of the batch.

    Dagster's UI plots the counts over time, so a load without new files states them, too.
    """
    manifests = lake.manifests()
    files = [file for manifest in manifests for file in manifest.files if file.source == loaded.source]
    batch = [
        file for manifest in manifests if manifest.batch_seq == loaded.batch_seq for file in manifest.files
    ]
    metadata: dict[str, Any] = {
        "dagster/row_count": sum(file.accepted for file in files if file.status == LOADED),
        "new files": loaded.files,
        "new records": loaded.records,
        "accepted": loaded.accepted,
        "rejected": loaded.rejected,
        "rejected in total": sum(file.rejected for file in files),
    }
    if batch:
        shown = sorted(batch, key=lambda file: (-file.rejected, file.path))[:FILES_LISTED]
        rows = "\n".join(
            f"| {file.path} | {file.status} | {file.records:,} | {file.rejected:,} |" for file in shown
        )
        more = f"\n\n… and {len(batch) - len(shown)} more files" if len(batch) > len(shown) else ""
        metadata["batch"] = loaded.batch_seq
        metadata["files"] = dg.MetadataValue.md(
            f"| file | status | records | rejected |\n|---|---|---:|---:|\n{rows}{more}"
        )
    return metadata


@dg.asset(
    key=PRICE_BOOK,
    deps=[dg.AssetKey(["raw", table.name]) for table in RAW_TABLES],
    group_name="raw",
    kinds={"parquet"},
    owners=[OWNER],
    pool=WRITER_POOL,
)
def price_book(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> dg.MaterializeResult[None]:
    """Resolve model names and token prices: `genai-prices`, overridden by the operator's own rates."""
    book = resolve_price_book(warehouse.settings)
    context.log.info(f"{book.models} models, {book.priced} of them with rates")
    return dg.MaterializeResult(metadata={"dagster/row_count": book.models, "models with rates": book.priced})
