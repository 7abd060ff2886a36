"""The assets: landing folders, the lake's tables, the plan of a build, dbt's models, the published
warehouse.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets
from dagster_dbt.asset_utils import get_subset_selection_for_context

from ingestion.lake.batches import LOADED, Lake
from ingestion.load import SOURCES, LoadResult, load
from ingestion.sources.stripe.reports import FOLDER, STRIPE_REPORTS, StripeReport
from ingestion.stripe_pull.failures import FailedPull, forget_failure
from ingestion.stripe_pull.pull import Pulled
from ingestion.unread_files import unread_warnings
from orchestration import markdown
from orchestration.assets.stripe_pull import pull_or_go_on
from orchestration.resources import OWNER, WRITER_POOL, Warehouse
from orchestration.retries import retried
from paywall_warehouse.settings import Settings
from warehouse.build import Build, finish_build, prepare_build
from warehouse.checks.invariant import WARN, Invariant, describe_failure, exact_text
from warehouse.checks.invariants import INVARIANTS
from warehouse.dbt_runner import Dbt, DbtBuild, build_command
from warehouse.price_book import resolve_price_book
from warehouse.publish import Publication, check_and_publish
from warehouse.published_summary import daily_totals, period_kpis, published_reject_reasons
from warehouse.reconciliation_summary import open_breaks, reconciliation
from warehouse.spark.engine import SPARK, ClusterBuild, ClusterPublication

PUBLISHED = dg.AssetKey(["published", "warehouse"])
PLAN = dg.AssetKey(["build", "plan"])
PRICE_BOOK = dg.AssetKey(["raw", "price_book"])
# A day changes the KPIs, so that a healthy warehouse is published daily even when nothing landed.
FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=50))
FILES_SHOWN = 20
FAILURES_SHOWN = 5
BREAKS_SHOWN = 50


@dataclass(frozen=True)
class RawTable:
    """What a run loads: a source of the landing area, and the lake's table that it goes to."""

    source: str
    """As in `SOURCES`."""
    description: str
    made_by: dg.AssetKey
    """The asset upstream: a folder that other systems write, or what our own pull lands."""

    @property
    def name(self) -> str:
        """The lake's table."""
        return SOURCES[self.source].table


@dataclass(frozen=True)
class LandingFolder:
    """A folder of the landing area that other systems write."""

    name: str
    description: str
    kinds: frozenset[str]

    @property
    def key(self) -> dg.AssetKey:
        """`landing/folder`."""
        return dg.AssetKey(["landing", self.name])


LANDING_FOLDERS = (
    LandingFolder(
        "ledger",
        "Files of ledger entries as received: deposits, charges, refunds, adjustments, withdrawals.",
        frozenset({"csv", "json", "parquet"}),
    ),
    LandingFolder(
        "events",
        "Webhook deliveries of Paywalls.ai as received, in both documented shapes.",
        frozenset({"json"}),
    ),
    LandingFolder(
        "prices",
        "The operator's own provider rates, which override the built-in price book.",
        frozenset({"csv"}),
    ),
    LandingFolder(
        "payments", "Payments of rails other than Stripe as received, one row a payment.", frozenset({"csv"})
    ),
)


def stripe_key(stripe_report: StripeReport) -> dg.AssetKey:
    """The asset of what Stripe reports: `stripe/` and the report without its form and version."""
    return dg.AssetKey([FOLDER, stripe_report.name.removesuffix(".itemized").replace(".", "_")])


RAW_TABLES = (
    RawTable(
        "ledger",
        "Every accepted ledger record, that is every version of an entry, as typed Parquet batches. "
        "Records that break a rule go to the rejects with file, line and reason.",
        LANDING_FOLDERS[0].key,
    ),
    RawTable(
        "events",
        "Every accepted webhook delivery, repeats included, as typed Parquet batches.",
        LANDING_FOLDERS[1].key,
    ),
    RawTable(
        "prices",
        "Every accepted row of the operator's own provider rates, as typed Parquet batches.",
        LANDING_FOLDERS[2].key,
    ),
    RawTable(
        "payments",
        "Every accepted payment of rails other than Stripe, as typed Parquet batches.",
        LANDING_FOLDERS[3].key,
    ),
    *(
        RawTable(
            f"{FOLDER}/{stripe_report.name}",
            f"Every accepted row of Stripe's {stripe_report.name}, repeats in overlapping files included, as typed"
            " Parquet batches.",
            stripe_key(stripe_report),
        )
        for stripe_report in STRIPE_REPORTS
    ),
)


def landing_specs() -> list[dg.AssetSpec]:
    """The landing folders, which other systems write."""
    return [
        dg.AssetSpec(
            folder.key,
            description=folder.description,
            group_name="landing",
            kinds=set(folder.kinds),
            owners=[OWNER],
        )
        for folder in LANDING_FOLDERS
    ]


def stripe_asset(stripe_report: StripeReport) -> dg.AssetsDefinition:
    """The asset that pulls what is new of one kind of Stripe file into the landing area."""

    @dg.asset(
        key=stripe_key(stripe_report),
        description=(
            f"Stripe's {stripe_report.name} as files in landing/{FOLDER}/: what people put there, and what"
            " STRIPE_API_KEY lets us pull."
        ),
        group_name="landing",
        kinds={"csv", "stripe"},
        owners=[OWNER],
        pool=WRITER_POOL,
    )
    def pull_new_reports(
        context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> dg.MaterializeResult[None]:
        report_type = report_type_of(warehouse.settings, stripe_report)
        if warehouse.stripe is None or report_type is None:
            forget_failure(warehouse.settings.home, stripe_report)
        if warehouse.stripe is None:
            return dg.MaterializeResult(
                metadata={"pull": "no STRIPE_API_KEY: files in the landing area are all there is"}
            )
        if report_type is None:
            return dg.MaterializeResult(metadata={"pull": "not among STRIPE_REPORT_TYPES"})
        # Faults of Stripe are waited out in there; those of the landing area's store are not.
        with retried(context):
            pulled = pull_or_go_on(
                warehouse, stripe_report, report_type, context.log.info, context.log.warning
            )
        if isinstance(pulled, FailedPull):
            return dg.MaterializeResult(metadata={"report type": report_type, "pull failed": pulled.reason})
        if pulled.left:
            context.log.warning(f"{pulled.report_type}: {pulled.left}")
        context.log.info(pulled_in_words(pulled))
        return dg.MaterializeResult(metadata=pull_metadata(pulled))

    return pull_new_reports


def report_type_of(settings: Settings, stripe_report: StripeReport) -> str | None:
    """The version of a family that the settings pin, None where they leave it out; the list of Checkout
    Sessions has no version.
    """
    if not stripe_report.versions:
        return stripe_report.name
    return next(
        (name for name in settings.stripe_report_types if name.rsplit(".", 1)[0] == stripe_report.name), None
    )


def pulled_in_words(pulled: Pulled) -> str:
    """What a pull brought."""
    until = (
        f", Stripe has data until {pulled.available_until:%Y-%m-%d %H:%M} UTC"
        if pulled.available_until
        else ""
    )
    return (
        f"{len(pulled.files)} new files of {pulled.report_type}{until}"
        if pulled.files
        else f"nothing new at Stripe{until}"
    )


def pull_metadata(pulled: Pulled) -> dict[str, Any]:
    """Files, runs, and how far Stripe's data reach."""
    metadata: dict[str, Any] = {
        "report type": pulled.report_type,
        "new files": len(pulled.files),
        "runs created": pulled.created_runs,
        "runs picked up": pulled.resumed_runs,
    }
    if pulled.available_until:
        metadata["data until"] = dg.MetadataValue.timestamp(pulled.available_until)
    if pulled.left:
        metadata["left to the next run"] = pulled.left
    if pulled.files:
        metadata["files"] = dg.MetadataValue.md("\n".join(f"- {name}" for name in pulled.files))
    return metadata


def raw_asset(table: RawTable) -> dg.AssetsDefinition:
    """The asset that loads what is new of one source."""

    @dg.asset(
        key=["raw", table.name],
        deps=[table.made_by],
        description=table.description,
        group_name="raw",
        kinds={"parquet", "duckdb"},
        owners=[OWNER],
        pool=WRITER_POOL,
    )
    def load_new_files(
        context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> dg.MaterializeResult[None]:
        with retried(context):
            loaded = load(warehouse.settings, table.source)
        for warning in loaded.warnings:
            context.log.warning(warning)
        context.log.info(loaded_in_words(loaded))
        return dg.MaterializeResult(metadata=load_metadata(loaded, Lake(warehouse.settings.home)))

    return load_new_files


def loaded_in_words(loaded: LoadResult) -> str:
    """What a load found."""
    if not loaded.files:
        return f"nothing new in landing/{loaded.source}"
    return f"{loaded.files} new files, {loaded.accepted:,} records accepted, {loaded.rejected:,} rejected"


def load_metadata(loaded: LoadResult, lake: Lake) -> dict[str, Any]:
    """Counts of this load and of the whole table, and the files of the batch."""
    manifests = lake.manifests()
    records = [
        file
        for manifest in manifests
        for file in manifest.files
        if file.source == loaded.source and file.status == LOADED
    ]
    batch = [
        file for manifest in manifests if manifest.batch_seq == loaded.batch_seq for file in manifest.files
    ]
    metadata: dict[str, Any] = {
        "dagster/row_count": sum(file.accepted for file in records),
        "new files": loaded.files,
        "new records": loaded.records,
        "accepted": loaded.accepted,
        "rejected": loaded.rejected,
    }
    if batch:
        shown = sorted(batch, key=lambda file: (-file.rejected, file.path))[:FILES_SHOWN]
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
    """What every model text means and what its tokens cost when: `genai-prices`, overridden by the operator's
    own rates.
    """
    book = resolve_price_book(warehouse.settings)
    context.log.info(f"{book.models} models, {book.priced} of them with rates")
    return dg.MaterializeResult(metadata={"dagster/row_count": book.models, "models with rates": book.priced})


def plan_build(warehouse: Warehouse, *, always: bool = False) -> Build:
    """The plan of this run; repeatable, since a run has one `AS_OF` and nobody else writes meanwhile."""
    return prepare_build(
        warehouse.settings, warehouse.code_version, full_refresh=warehouse.full_refresh, always=always
    )


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
    """What this run has to build: the lake shown to dbt, the run's settings, and which batches are new.

    Where the published warehouse already shows everything there is no plan, and Dagster skips all that
    follows.
    """
    unread = unread_warnings(warehouse.settings)
    for warning in unread:
        context.log.warning(warning)
    build = plan_build(warehouse)
    if not build.needed:
        context.log.info("nothing new: the published warehouse stays as it is")
        return
    context.log.info(build.why)
    metadata: dict[str, Any] = {
        "why": build.why,
        "full refresh": build.full_refresh,
        "through batch": build.through_batch,
    }
    if unread:
        metadata["files that nothing reads"] = dg.MetadataValue.md(
            "\n".join(f"- {warning}" for warning in unread)
        )
    yield dg.MaterializeResult(metadata=metadata)


# By the table in the schema `raw`. All other sources are made by the plan.
SOURCE_KEYS = {
    **{table.name: dg.AssetKey(["raw", table.name]) for table in RAW_TABLES if table.source != "prices"},
    "models": PRICE_BOOK,
    "model_rates": PRICE_BOOK,
}


class Translator(DagsterDbtTranslator):
    """dbt's nodes in Dagster's words: keys and groups by layer, sources under the assets that make them."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """`layer/model`; a source is the asset that makes it."""
        if dbt_resource_props["resource_type"] == "source":
            return SOURCE_KEYS.get(dbt_resource_props["identifier"], PLAN)
        return super().get_asset_key(dbt_resource_props)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Return the folder under `models/`: staging, intermediate, marts or checks."""
        return str(dbt_resource_props["fqn"][1])

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str]:
        """One team owns the warehouse."""
        return [OWNER]


def dbt_models(dbt: Dbt) -> dg.AssetsDefinition:
    """All dbt models as one step, their tests as asset checks."""
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
        # Somebody may have asked for some models where nothing is new.
        plan = plan_build(warehouse, always=True)
        cluster = (
            ClusterBuild(warehouse.settings, warehouse.run_id, plan)
            if warehouse.settings.warehouse_target == SPARK
            else None
        )
        if cluster is not None and context.is_subset:
            raise dg.Failure("On a cluster all models are built, or none.", allow_retries=False)
        command = [
            *build_command(full_refresh=plan.full_refresh),
            *subset_arguments(context, manifest, translator),
        ]
        with warehouse.building(whole=not context.is_subset):
            done = (
                cluster.build(manifest, context.log.info)
                if cluster
                else dbt.build(manifest, command, context.log.info)
            )
            for result in done.results:
                for event in result.to_default_asset_events(
                    manifest, translator, context, dbt.home.dbt_target
                ):
                    rows = done.row_counts.get(result.raw_event["data"]["node_info"]["unique_id"])
                    counted = isinstance(event, dg.Output) and rows is not None
                    yield (
                        event.with_metadata({**event.metadata, "dagster/row_count": rows})
                        if counted
                        else event
                    )
            if done.failures:
                raise dg.Failure(description=dbt_failure(done), allow_retries=False)
            if not context.is_subset:
                finish_build(warehouse.settings, plan)
        context.log.info(f"{done.models} models built, {done.tests} tests hold")

    return models


def subset_arguments(
    context: dg.AssetExecutionContext, manifest: Mapping[str, Any], translator: DagsterDbtTranslator
) -> list[str]:
    """dbt's selection where somebody asked for some of the models or checks only."""
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


def dbt_failure(done: DbtBuild) -> str:
    """Why nothing is published: the failed models and tests, each with dbt's words and its query."""
    described = "\n\n".join(failure.describe() for failure in done.failures[:FAILURES_SHOWN])
    more = (
        f"\n\n… and {len(done.failures) - FAILURES_SHOWN} more" if len(done.failures) > FAILURES_SHOWN else ""
    )
    return (
        f"Nothing is published: {len(done.failures)} of dbt's models and tests failed.\n\n{described}{more}"
    )


def ends(models: dg.AssetsDefinition) -> list[dg.AssetKey]:
    """The marts, and what no other model uses: the checks before publication read that."""
    used = {key for keys in models.asset_deps.values() for key in keys}
    return sorted(key for key in models.keys if key.path[0] == "marts" or key not in used)


def published_warehouse(models: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """The asset that checks the build and publishes it."""

    @dg.asset(
        key=PUBLISHED,
        deps=list(models),
        check_specs=check_specs(PUBLISHED, INVARIANTS),
        group_name="published",
        kinds={"duckdb"},
        owners=[OWNER],
        pool=WRITER_POOL,
        freshness_policy=FRESHNESS,
    )
    def published(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> Iterator[Any]:
        """One DuckDB file for every reader, replaced whole and only after every check has passed."""
        if not warehouse.is_finished or not warehouse.settings.home.build_file.exists():
            raise dg.Failure(
                "Nothing is published: the last build did not come to its end. Run the job `refresh`.",
                allow_retries=False,
            )
        settings = warehouse.settings
        cluster = ClusterPublication(settings) if settings.warehouse_target == SPARK else None
        publication = check_and_publish(
            settings,
            warehouse.run_id,
            warehouse.started_at,
            settings.now(),
            warehouse.code_version,
            read_check=cluster.read_check if cluster else None,
            show=cluster.show if cluster else None,
        )
        yield from check_results(PUBLISHED, INVARIANTS, publication.invariants)
        if not publication.published:
            raise dg.Failure(
                description=failed_checks("Nothing is published", INVARIANTS, publication.failures),
                allow_retries=False,
            )
        context.log.info(f"{publication.path} holds {len(publication.row_counts)} tables")
        yield dg.MaterializeResult(asset_key=PUBLISHED, metadata=shown_metadata(context, publication))

    return published


def check_specs(key: dg.AssetKey, checks: Mapping[str, str]) -> list[dg.AssetCheckSpec]:
    """Checks by name, with their words.

    None of them is `blocking`: a step fails by itself where one of its checks does not hold, and Dagster
    warns of each blocking check of each skipped step once for every step behind it.
    """
    return [dg.AssetCheckSpec(name, asset=key, description=words) for name, words in checks.items()]


def check_results(
    key: dg.AssetKey, checks: Mapping[str, str], invariants: Sequence[Invariant]
) -> Iterator[dg.AssetCheckResult]:
    """One result a check of an asset, with what was compared in each scope."""
    for name in checks:
        own = [one for one in invariants if one.name == name]
        failed = [one for one in own if not one.passed]
        records = [
            dg.TableRecord(
                {
                    "scope": one.scope,
                    "expected": exact_text(one.expected),
                    "actual": exact_text(one.actual),
                    "difference": exact_text(one.difference),
                    "passed": one.passed,
                }
            )
            for one in own
        ]
        metadata: dict[str, Any] = {"compared": dg.MetadataValue.table(records)} if records else {}
        if failed:
            metadata["query"] = failed[0].query
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=name,
            passed=not failed,
            description=describe_failure(failed[0], checks) if failed else None,
            severity=(
                dg.AssetCheckSeverity.WARN
                if failed and failed[0].severity == WARN
                else dg.AssetCheckSeverity.ERROR
            ),
            metadata=metadata,
        )


def failed_checks(consequence: str, checks: Mapping[str, str], failures: Sequence[Invariant]) -> str:
    """Which checks do not hold, with expected, actual and where to look further."""
    count = Counter(one.name for one in failures)
    # Failures that say what to do come first: they are never among those that are cut off.
    first = sorted(failures, key=lambda one: not one.details)[:FAILURES_SHOWN]
    shown = "\n".join(describe_failure(one, checks) for one in first)
    more = f"\n… and {len(failures) - FAILURES_SHOWN} more" if len(failures) > FAILURES_SHOWN else ""
    return f"{consequence}: {len(count)} checks do not hold ({', '.join(count)}).\n{shown}{more}"


def shown_metadata(context: dg.AssetExecutionContext, publication: Publication) -> dict[str, Any]:
    """`publication_metadata`; what is published stays so even where it cannot be shown here."""
    try:
        return publication_metadata(publication)
    except Exception as error:
        context.log.warning(f"published, but its numbers cannot be shown here: {error}")
        return {"path": dg.MetadataValue.path(publication.path)}


def publication_metadata(publication: Publication) -> dict[str, Any]:
    """What readers of the asset page want to see first."""
    kpis = period_kpis(publication.path)
    days = daily_totals(publication.path, markdown.PLOTTED_DAYS)
    metadata: dict[str, Any] = {"path": dg.MetadataValue.path(publication.path)}
    if kpis:
        metadata["KPIs"] = dg.MetadataValue.md(markdown.kpi_table(kpis))
    reasons = "\n".join(
        f"| {one.reason_code} | {one.records:,} | {markdown.place_of(one)} |"
        for one in published_reject_reasons(publication.path)
    )
    rows = "\n".join(f"| {name} | {count:,} |" for name, count in publication.row_counts.items())
    state = reconciliation(publication.path)
    if state.is_needed:
        metadata["reconciliation"] = dg.MetadataValue.md(
            "\n".join([state.headline, "", *(f"- {gap.describe()}" for gap in state.gaps)])
        )
    if state.breaks:
        metadata["open breaks"] = dg.MetadataValue.md(markdown.breaks_by_type(state))
        metadata["first breaks"] = dg.MetadataValue.md(
            markdown.break_table(open_breaks(publication.path, BREAKS_SHOWN))
        )
    if kpis and days:
        metadata["by day"] = dg.MetadataValue.md(markdown.revenue_plot(days, kpis[0]["currency"]))
    return {
        **metadata,
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
