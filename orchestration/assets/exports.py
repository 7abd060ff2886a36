"""The exports of the published warehouse: one asset for each dataset, then the catalog of all of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from exports.catalog import Finished, finish_exports
from exports.datasets import Dataset, exported_datasets
from exports.export import Exported, export_published
from exports.export_checks import CATALOG_CHECKS, EXPORT_CHECKS, NO_STRAYS
from exports.manifest import Partition
from orchestration import markdown
from orchestration.assets.checks import check_results, check_specs
from orchestration.assets.failures import check_failure
from orchestration.assets.published import PUBLISHED
from orchestration.resources import OWNER, Warehouse
from orchestration.retries import is_transient, retry_in_place
from orchestration.run_lock import WRITER_POOL
from paywall_warehouse.errors import first_line
from paywall_warehouse.settings import Settings
from paywall_warehouse.sizes import size
from warehouse.checks.invariant import Invariant, describe_failure
from warehouse.engines import engine_of

GROUP = "exports"
CATALOG = dg.AssetKey([GROUP, "catalog"])
DAYS_LISTED = 50


def dataset_key(dataset: Dataset) -> dg.AssetKey:
    """Return `exports/<dataset>`."""
    return dg.AssetKey([GROUP, dataset.name])


def export_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the assets of all datasets that are exported, and of the catalog."""
    datasets = list(exported_datasets(settings).values())
    return [*map(dataset_asset, datasets), catalog_asset(datasets)]


def dataset_asset(dataset: Dataset) -> dg.AssetsDefinition:
    """Return the asset that exports one dataset."""
    key = dataset_key(dataset)
    cut = f"partitioned by {dataset.day}" if dataset.day else "as one partition"

    @dg.asset(
        key=key,
        deps=[PUBLISHED],
        description=f"marts.{dataset.mart} as files for other programs, {cut}. Only changes are written.",
        check_specs=check_specs(key, EXPORT_CHECKS),
        group_name=GROUP,
        kinds={"parquet", "csv"},
        owners=[OWNER],
        pool=WRITER_POOL,
        output_required=False,
    )
    def export(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> Iterator[Any]:
        if warehouse.unreachable:
            context.log.info(f"skipped: {warehouse.unreachable[0]}")
            return
        try:
            exported = retry_in_place(
                lambda: export_published(
                    warehouse.settings,
                    dataset,
                    context.log.info,
                    remote_mart=engine_of(warehouse.settings).remote_mart,
                ),
                context.log.warning,
            )
        except Exception as error:
            if isinstance(error, OSError) or is_transient(error):
                warehouse.unreachable.append(first_line(error))
            raise
        yield from check_results(key, EXPORT_CHECKS, exported.checks)
        refuse(EXPORT_CHECKS, exported.checks, "The manifest was not changed")
        # An export that changed nothing prints no line.
        if message := describe_export(exported):
            context.log.info(message)
        yield dg.MaterializeResult(asset_key=key, metadata=export_metadata(exported))

    return export


def catalog_asset(datasets: Iterable[Dataset]) -> dg.AssetsDefinition:
    """Return the asset that writes the catalog after every dataset has been exported."""

    @dg.asset(
        key=CATALOG,
        deps=[dataset_key(dataset) for dataset in datasets],
        check_specs=check_specs(CATALOG, CATALOG_CHECKS, warning_only=[NO_STRAYS]),
        group_name=GROUP,
        kinds={"json"},
        owners=[OWNER],
        pool=WRITER_POOL,
    )
    def catalog(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> Iterator[Any]:
        """List all datasets with the digests of their manifests, and remove files that no manifest names."""
        finished = retry_in_place(lambda: finish_exports(warehouse.settings), context.log.warning)
        yield from check_results(CATALOG, CATALOG_CHECKS, finished.checks)
        refuse(CATALOG_CHECKS, finished.checks, "The catalog was not changed")
        for check in finished.checks:
            if not check.passed:
                context.log.warning(describe_failure(check, CATALOG_CHECKS))
        if message := describe_catalog(finished):
            context.log.info(message)
        yield dg.MaterializeResult(
            asset_key=CATALOG,
            metadata={
                "catalog": dg.MetadataValue.path(finished.location),
                "superseded files removed": finished.removed,
            },
        )

    return catalog


def refuse(descriptions: Mapping[str, str], checks: Sequence[Invariant], consequence: str) -> None:
    """Fail the step if a blocking check failed."""
    if failures := [check for check in checks if check.blocks]:
        raise check_failure(consequence, descriptions, failures)


def describe_export(exported: Exported) -> str:
    """Return a sentence about what an export wrote, or an empty text if nothing changed."""
    if not exported.is_manifest_new and not exported.files_written:
        return ""
    files = f"{exported.files_written:,} files, {size(exported.bytes_written)}"
    if exported.dataset.day is None:
        return f"changed, {files}" if exported.changed else f"description updated, {files}"
    removed = f", {markdown.days(exported.gone)} removed" if exported.gone else ""
    return f"{markdown.days([one.date for one in exported.changed if one.date])} changed{removed}, {files}"


def describe_catalog(finished: Finished) -> str:
    """Return a sentence about the catalog and removed files, or an empty text if nothing changed."""
    removed = f", {finished.removed:,} superseded files removed" if finished.removed else ""
    return f"{finished.location}{removed}" if finished.is_catalog_new or removed else ""


def export_metadata(exported: Exported) -> dict[str, Any]:
    """Return the number of rows, the changed partitions, the bytes, and the path of the manifest."""
    partitions = exported.manifest.partitions
    metadata: dict[str, Any] = {
        "dagster/row_count": sum(one.rows for one in partitions),
        "partitions": len(partitions),
        "changed partitions": len(exported.changed),
        "files written": exported.files_written,
        "bytes written": exported.bytes_written,
        "bytes": sum(file.bytes for file in exported.manifest.files),
        "manifest": dg.MetadataValue.path(exported.location),
        "publication": exported.manifest.run_id,
    }
    if exported.changed:
        metadata["changed"] = dg.MetadataValue.md(changed_table(exported.changed))
    return metadata


def changed_table(changed: Sequence[Partition]) -> str:
    """Return the changed partitions as a Markdown table, the latest first."""
    latest = sorted(changed, key=lambda one: str(one.date), reverse=True)[:DAYS_LISTED]
    rows = "\n".join(f"| {one.date or 'all rows'} | {one.revision} | {one.rows:,} |" for one in latest)
    more = f"\n\n… and {len(changed) - len(latest)} more" if len(changed) > len(latest) else ""
    return f"| partition | revision | rows |\n|---|---:|---:|\n{rows}{more}"
