"""The lake: every source of the landing area as validated Parquet batches, and the price book."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from ingestion.bill_pull.apis import APIS
from ingestion.lake.batches import LOADED, Lake
from ingestion.load import LoadResult, load, sources_in_use
from ingestion.sources.bills.files import FOLDER as BILLS_FOLDER
from ingestion.sources.registry import BUILT_IN, mapped_sources
from ingestion.sources.stripe.reports import FOLDER, STRIPE_REPORTS
from orchestration import markdown
from orchestration.assets.landing import MAPPED_FOLDERS, bill_key, folder_key, stripe_key
from orchestration.resources import OWNER, Warehouse
from orchestration.retries import dagster_retries
from orchestration.run_lock import WRITER_POOL
from warehouse.build_file import copy_ahead, drop_build_file
from warehouse.price_book import resolve_price_book

PRICE_BOOK = dg.AssetKey(["raw", "price_book"])
MAPPED_ENTRIES = dg.AssetKey(["raw", "mapped_entries"])
PROVIDER_BILLS = dg.AssetKey(["raw", "provider_bills"])
FILES_LISTED = 20
OUTCOMES = ("records", "accepted", "filtered", "rejected")


@dataclass(frozen=True)
class RawTable:
    """A source of the landing area and the table of the lake that stores its records."""

    source: str
    """The name in `BUILT_IN`."""
    description: str
    upstream: dg.AssetKey
    """The asset that lands the files: a folder that other systems write, or a pulled Stripe report."""

    @property
    def name(self) -> str:
        """Return the name of the lake's table."""
        return BUILT_IN[self.source].table


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


BILL_SOURCES = tuple(name for name, source in BUILT_IN.items() if source.folder == BILLS_FOLDER)
BILL_TABLES = tuple(dict.fromkeys(BUILT_IN[name].table for name in BILL_SOURCES))


if missing := BUILT_IN.keys() - {table.source for table in RAW_TABLES} - set(BILL_SOURCES):
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


@dg.asset(
    key=MAPPED_ENTRIES,
    deps=[MAPPED_FOLDERS],
    group_name="raw",
    kinds={"parquet", "duckdb"},
    owners=[OWNER],
    pool=WRITER_POOL,
)
def mapped_entries(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> dg.MaterializeResult[None]:
    """Every accepted record of the mapped sources as ledger entries, such as LiteLLM's spend logs."""
    names = sources_in_use(warehouse.settings, mapped_sources(warehouse.settings.home))
    return load_all(context, warehouse, names)


@dg.asset(
    key=PROVIDER_BILLS,
    deps=[folder_key(BILLS_FOLDER), *map(bill_key, APIS)],
    group_name="raw",
    kinds={"parquet", "duckdb"},
    owners=[OWNER],
    pool=WRITER_POOL,
)
def provider_bills(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> dg.MaterializeResult[None]:
    """Every accepted line of providers' bills, their invoices, and the operator's files about them."""
    names = sources_in_use(warehouse.settings, {name: BUILT_IN[name] for name in BILL_SOURCES})
    return load_all(context, warehouse, names)


def load_all(
    context: dg.AssetExecutionContext, warehouse: Warehouse, names: Sequence[str]
) -> dg.MaterializeResult[None]:
    """Load the new files of several sources, one after the other."""
    results = []
    for name in names:
        with dagster_retries(context):
            loaded = load(warehouse.settings, name, drop_build=drop_build_file, on_new=copy_ahead)
        for warning in loaded.warnings:
            context.log.warning(warning)
        if loaded.files:
            context.log.info(f"{name}: {describe_load(loaded)}")
        results.append(loaded)
    # The last line is what the command shows of the step.
    with_files = [loaded for loaded in results if loaded.files]
    if len(with_files) > 1:
        context.log.info("; ".join(f"{one.source}: {describe_load(one)}" for one in with_files))
    return dg.MaterializeResult(metadata=combined_metadata(results, Lake(warehouse.settings.home)))


def combined_metadata(results: Sequence[LoadResult], lake: Lake) -> dict[str, Any]:
    """Return the counts of one load of several sources, and a table of the sources that have files."""
    files = [file for manifest in lake.manifests() for file in manifest.files if file.status == LOADED]
    names = [loaded.source for loaded in results]
    metadata: dict[str, Any] = {
        "dagster/row_count": sum(file.accepted for file in files if file.source in names),
        "new files": sum(loaded.files for loaded in results),
        "new records": sum(loaded.records for loaded in results),
        "accepted": sum(loaded.accepted for loaded in results),
        "rejected": sum(loaded.rejected for loaded in results),
    }
    rows = [
        f"| {name} | {len(own):,} | "
        + " | ".join(f"{sum(getattr(file, part) for file in own):,}" for part in OUTCOMES)
        + " |"
        for name in names
        if (own := [file for file in files if file.source == name])
    ]
    if rows:
        header = f"| source | files | {' | '.join(OUTCOMES)} |\n|---|{'---:|' * (len(OUTCOMES) + 1)}"
        metadata["sources"] = dg.MetadataValue.md("\n".join([header, *rows]))
    return metadata


def raw_key(source: str) -> dg.AssetKey:
    """Return the key of the asset that loads a source."""
    if source in BILL_SOURCES:
        return PROVIDER_BILLS
    return dg.AssetKey(["raw", BUILT_IN[source].table]) if source in BUILT_IN else MAPPED_ENTRIES


def describe_load(loaded: LoadResult) -> str:
    """Return a sentence about what was loaded."""
    if not loaded.files:
        return f"nothing new in landing/{_place(loaded.source)}"
    filtered = f", {loaded.filtered:,} filtered" if loaded.filtered else ""
    accepted = f"{markdown.count(loaded.accepted, 'record')} accepted, {loaded.rejected:,} rejected"
    return f"{markdown.count(loaded.files, 'new file')}, {accepted}{filtered}"


def _place(source: str) -> str:
    """Return where the files of a source land: its folder, or the part of it that has its name."""
    folder = BUILT_IN[source].folder if source in BUILT_IN else source
    return source if source.startswith(folder) else folder


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
    deps=[*(dg.AssetKey(["raw", table.name]) for table in RAW_TABLES), MAPPED_ENTRIES, PROVIDER_BILLS],
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
