"""The plan of a build, and dbt's models as one step with their tests as asset checks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets
from dagster_dbt.asset_utils import get_subset_selection_for_context

from ingestion.lake.period_acts import DamagedActError
from ingestion.unread_files import unread_warnings
from orchestration.assets.failures import dbt_failure
from orchestration.assets.raw import BILL_TABLES, PRICE_BOOK, PROVIDER_BILLS, RAW_TABLES
from orchestration.idle_runs import IdleRun, note_idle_run
from orchestration.resources import OWNER, Warehouse
from orchestration.run_lock import WRITER_POOL
from paywall_warehouse.settings import Settings
from warehouse.build import finish_build, prepare_build
from warehouse.dbt_runner import PROJECT, Dbt
from warehouse.engine import EngineError
from warehouse.engines import engine_of
from warehouse.markups import markup_warnings
from warehouse.plan import Build
from warehouse.price_book_files import PRICE_BOOK_TABLES

PLAN = dg.AssetKey(["build", "plan"])


def plan_build(warehouse: Warehouse, *, always: bool = False) -> Build:
    """Return the plan of this run.

    Every step of a run gets the same plan: a run has one `AS_OF`, and no other process writes meanwhile.
    """
    try:
        return prepare_build(
            warehouse.settings, warehouse.code_version, full_refresh=warehouse.full_refresh, always=always
        )
    except DamagedActError as error:
        raise dg.Failure(str(error), allow_retries=False) from None


@dg.asset(
    key=PLAN,
    deps=[PRICE_BOOK, *(dg.AssetKey(["raw", table.name]) for table in RAW_TABLES)],
    group_name="raw",
    kinds={"duckdb"},
    owners=[OWNER],
    pool=WRITER_POOL,
    output_required=False,
)
def build_plan(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> Iterator[dg.MaterializeResult[None]]:
    """Decide what this run has to build: which batches are new, and whether everything is rebuilt.

    If the published warehouse is up to date, there is no plan and Dagster skips the steps downstream.
    """
    unread = unread_warnings(warehouse.settings)
    markups = markup_warnings(warehouse.settings.home)
    for warning in (*unread, *markups):
        context.log.warning(warning)
    build = plan_build(warehouse)
    if not build.needed:
        context.log.info("nothing new: the published warehouse is not changed")
        idle = IdleRun(warehouse.run_id, warehouse.started_at, datetime.now(UTC))
        note_idle_run(warehouse.settings.home, idle, is_in_history=True)
        return
    context.log.info(build.why)
    metadata: dict[str, Any] = {
        "why": build.why,
        "full refresh": build.full_refresh,
        "through batch": build.through_batch,
    }
    for name, warnings in (("files that nothing reads", unread), ("markups without a source", markups)):
        if warnings:
            metadata[name] = dg.MetadataValue.md("\n".join(f"- {warning}" for warning in warnings))
    yield dg.MaterializeResult(metadata=metadata)


# By the table in the schema `raw`. All other sources are made by the plan.
SOURCE_KEYS = {
    **{
        table.name: dg.AssetKey(["raw", table.name])
        for table in RAW_TABLES
        if table.source not in ("prices", "markups")
    },
    **dict.fromkeys(BILL_TABLES, PROVIDER_BILLS),
    # The operator's files about bills are read as the price book resolved them.
    **dict.fromkeys(PRICE_BOOK_TABLES, PRICE_BOOK),
}


class Translator(DagsterDbtTranslator):
    """Mapping of dbt's nodes to Dagster: keys and groups by layer, sources to the assets that write them."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Return `layer/model`, or for a source the key of the asset that writes it."""
        if dbt_resource_props["resource_type"] == "source":
            return SOURCE_KEYS.get(dbt_resource_props["identifier"], PLAN)
        return super().get_asset_key(dbt_resource_props)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Return the folder under `models/`: staging, intermediate, marts, checks."""
        return str(dbt_resource_props["fqn"][1])

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str]:
        """Return the one team that owns the warehouse."""
        return [OWNER]


def dbt_models(settings: Settings, project: Path = PROJECT) -> dg.AssetsDefinition:
    """Return all dbt models as one step, with their tests as asset checks."""
    dbt = Dbt(settings, project)
    manifest = dbt.prepare_manifest()
    translator = Translator()

    @dbt_assets(
        name="dbt_models",
        manifest=manifest,
        dagster_dbt_translator=translator,
        exclude="resource_type:unit_test",
        pool=WRITER_POOL,
    )
    def models(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> Iterator[Any]:
        engine = engine_of(warehouse.settings, project)
        try:
            engine.check_selection(is_subset=context.is_subset)
        except EngineError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        # `always`: a user may select some models even if nothing is new.
        plan = plan_build(warehouse, always=True)
        selection = subset_arguments(context, manifest, translator)
        with warehouse.building(whole=not context.is_subset):
            done = engine.build(plan, warehouse.run_id, manifest, selection, context.log.info)
            waiting, parents = dict.fromkeys(done.unused), manifest["parent_map"]

            def unused_results(names: Iterable[str]) -> Iterator[dg.MaterializeResult[None]]:
                for name in unused_upstream(names, waiting, parents):
                    node = manifest["nodes"][name]
                    key = translator.get_asset_key(node)
                    yield unused_result(
                        key,
                        context.selected_asset_check_keys,
                        is_view=node["config"]["materialized"] == "view" and node["schema"] == "marts",
                    )

            for result in done.results:
                node_id = result.raw_event["data"]["node_info"]["unique_id"]
                yield from unused_results(parents.get(node_id, []))
                for event in result.to_default_asset_events(
                    manifest, translator, context, dbt.home.dbt_target
                ):
                    rows = done.row_counts.get(node_id)
                    counted = isinstance(event, dg.Output) and rows is not None
                    yield (
                        event.with_metadata({**event.metadata, "dagster/row_count": rows})
                        if counted
                        else event
                    )
            if done.failures:
                raise dbt_failure(done)
            yield from unused_results(done.unused)
            if not context.is_subset:
                finish_build(warehouse.settings, plan)
        context.log.info(f"{done.models} models built, {done.tests} tests passed")

    return models


def unused_upstream(
    names: Iterable[str], waiting: dict[str, None], parents: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Yield those of some models that wait for a result, and remove them from `waiting`.

    Dagster wants results in the order of the models, so the models upstream of each come first.
    """
    for name in names:
        if name in waiting:
            del waiting[name]
            yield from unused_upstream(parents[name], waiting, parents)
            yield name


def unused_result(
    key: dg.AssetKey, checks: Iterable[dg.AssetCheckKey], *, is_view: bool
) -> dg.MaterializeResult[None]:
    """Return the result of a model that was not built.

    Dagster skips the steps downstream of an asset without a result. Data tests find no row in an empty table.
    """
    metadata: dict[str, Any] = (
        {"not built": "the view is created in the published file"}
        if is_view
        else {"dagster/row_count": 0, "not built": "no bill of a provider has ever landed"}
    )
    return dg.MaterializeResult(
        asset_key=key,
        metadata=metadata,
        check_results=[
            dg.AssetCheckResult(
                asset_key=key, check_name=check.name, passed=True, description="not run on an empty table"
            )
            for check in checks
            if check.asset_key == key
        ],
    )


def subset_arguments(
    context: dg.AssetExecutionContext, manifest: Mapping[str, Any], translator: DagsterDbtTranslator
) -> list[str]:
    """Return dbt's selection arguments; none if all models and tests are wanted."""
    if not context.is_subset:
        return []
    arguments, indirect = get_subset_selection_for_context(
        context=context,
        manifest=manifest,
        select=None,
        exclude="resource_type:unit_test",
        selector=None,
        dagster_dbt_translator=translator,
        current_dbt_indirect_selection_env=None,
    )
    return [*arguments, *(["--indirect-selection", indirect] if indirect else [])]


def final_models(models: dg.AssetsDefinition) -> list[dg.AssetKey]:
    """Return the marts and every model that no other model uses: publication waits for them."""
    used = {key for keys in models.asset_deps.values() for key in keys}
    return sorted(key for key in models.keys if key.path[0] == "marts" or key not in used)
