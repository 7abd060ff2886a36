"""The published warehouse: the build replaces the published file only if every check passes."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from orchestration import markdown
from orchestration.alert_delivery.deliver import notify_publication
from orchestration.assets.checks import check_results, check_specs
from orchestration.assets.failures import check_failure
from orchestration.resources import OWNER, Warehouse
from orchestration.run_lock import WRITER_POOL
from paywall_warehouse.settings import Settings
from warehouse.checks.invariants import INVARIANTS, warning_only
from warehouse.cost_summary import cost_reconciliation
from warehouse.engines import engine_of
from warehouse.publish import Publication, check_and_publish
from warehouse.published_summary import daily_usage, period_kpis, published_reject_reasons
from warehouse.reconciliation_summary import open_breaks, reconciliation

PUBLISHED = dg.AssetKey(["published", "warehouse"])
# A new day changes the KPIs, so a healthy warehouse is published daily even if nothing landed.
FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=50))
BREAKS_LISTED = 50


def published_warehouse(models: Sequence[dg.AssetKey], settings: Settings) -> dg.AssetsDefinition:
    """Return the asset that checks the build and publishes it; `settings` decide which checks only warn."""

    @dg.asset(
        key=PUBLISHED,
        deps=list(models),
        check_specs=check_specs(PUBLISHED, INVARIANTS, warning_only(settings)),
        group_name="published",
        kinds={"duckdb"},
        owners=[OWNER],
        pool=WRITER_POOL,
        freshness_policy=FRESHNESS,
    )
    def published(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> Iterator[Any]:
        """Check the build, then replace the one DuckDB file that readers open, as a whole."""
        if not warehouse.is_finished or not warehouse.settings.home.build_file.exists():
            raise dg.Failure(
                "Nothing is published: the last build did not finish. Run the job `refresh`.",
                allow_retries=False,
            )
        settings = warehouse.settings
        publication = check_and_publish(
            settings,
            warehouse.run_id,
            warehouse.started_at,
            settings.now(),
            warehouse.code_version,
            engine_of(settings).candidate(),
        )
        yield from check_results(PUBLISHED, INVARIANTS, publication.invariants)
        if not publication.published:
            raise check_failure("Nothing is published", INVARIANTS, publication.failures)
        notify_publication(settings)
        context.log.info(f"{publication.path} holds {len(publication.row_counts)} tables")
        yield dg.MaterializeResult(asset_key=PUBLISHED, metadata=_metadata_or_path(context, publication))

    return published


def _metadata_or_path(context: dg.AssetExecutionContext, publication: Publication) -> dict[str, Any]:
    """Return `publication_metadata`, or only the path if the numbers cannot be read.

    The file is published by then, so the step does not fail.
    """
    try:
        return publication_metadata(publication)
    except Exception as error:
        context.log.warning(f"published, but its numbers cannot be shown on the asset page: {error}")
        return {"path": dg.MetadataValue.path(publication.path)}


def publication_metadata(publication: Publication) -> dict[str, Any]:
    """Return the metadata of the asset page: KPIs, reconciliation, plot, rejects and row counts."""
    kpis = period_kpis(publication.path)
    state = reconciliation(publication.path)
    usage = daily_usage(publication.path, markdown.PLOTTED_DAYS)
    metadata: dict[str, Any] = {"path": dg.MetadataValue.path(publication.path)}
    if kpis:
        metadata["KPIs"] = dg.MetadataValue.md(markdown.kpi_table(kpis))
    if usage:
        metadata["plots"] = dg.MetadataValue.md(markdown.plots(usage, state))
    reasons = "\n".join(
        f"| {one.reason_code} | {one.records:,} | {markdown.place_of(one)} |"
        for one in published_reject_reasons(publication.path)
    )
    rows = "\n".join(f"| {name} | {count:,} |" for name, count in publication.row_counts.items())
    if state.is_needed:
        metadata["reconciliation"] = dg.MetadataValue.md(
            "\n".join([state.headline, "", *(f"- {gap.describe()}" for gap in state.gaps)])
        )
    if state.breaks:
        metadata["open breaks"] = dg.MetadataValue.md(markdown.breaks_by_type(state))
        metadata["first breaks"] = dg.MetadataValue.md(
            markdown.break_table(open_breaks(publication.path, BREAKS_LISTED))
        )
    costs = cost_reconciliation(publication.path)
    if costs.is_needed:
        missing = [*(gap.describe() for gap in costs.gaps), *filter(None, [costs.not_compared])]
        metadata["costs against bills"] = dg.MetadataValue.md(
            "\n".join([costs.headline, "", *(f"- {one}" for one in missing)])
        )
    if costs.breaks:
        metadata["open cost breaks"] = dg.MetadataValue.md(markdown.cost_breaks_by_type(costs))
    return {
        **metadata,
        "breaks": sum(group.cases for group in state.breaks),
        "breaks of priority 1": sum(group.cases for group in state.breaks if group.priority == 1),
        "cost breaks": sum(group.cases for group in costs.breaks),
        "cost breaks of priority 1": sum(group.cases for group in costs.breaks if group.priority == 1),
        "new records": publication.new_records,
        "rejected": publication.rejected_records,
        "check seconds": publication.check_seconds,
        "publish seconds": publication.publish_seconds,
        **(
            {"rejects": dg.MetadataValue.md(f"| reason | records | first |\n|---|---:|---|\n{reasons}")}
            if reasons
            else {}
        ),
        "rows": dg.MetadataValue.md(f"| table | rows |\n|---|---:|\n{rows}"),
    }
