"""The code location: everything that Dagster knows about the warehouse, composed in one function."""

import logging
from pathlib import Path
from typing import Any

import dagster as dg

from ingestion.sources.registry import mappings_of
from ingestion.sources.stripe.reports import PULLED_REPORTS
from orchestration.assets.exports import export_assets
from orchestration.assets.landing import bill_pulls, landing_specs, mapped_folders, stripe_asset
from orchestration.assets.models import build_plan, dbt_models, final_models
from orchestration.assets.published import published_warehouse
from orchestration.assets.raw import RAW_TABLES, mapped_entries, price_book, provider_bills, raw_asset
from orchestration.automation import (
    alerts_sensor,
    daily,
    export_job,
    new_files_sensor,
    publish_job,
    refresh_job,
    stripe_data_sensor,
    unfinished_exports_sensor,
)
from orchestration.logs import quiet_false_alarms
from orchestration.parallel_ingestion import ingest_job, ingested_sensor
from orchestration.resources import warehouse_resource
from paywall_warehouse.settings import Settings, load_settings, settings_warnings
from warehouse.alerts.definitions import variables_of
from warehouse.dbt_runner import PROJECT


def build_defs(
    settings: Settings | None = None,
    *,
    project: Path = PROJECT,
    exports: bool = True,
    ingestion_executor: dg.ExecutorDefinition = dg.multiprocess_executor,
    loggers: dict[str, dg.LoggerDefinition] | None = None,
    **resources: Any,
) -> dg.Definitions:
    """Return the code location.

    Tests pass another dbt `project`, leave out `exports`, or override `resources`.
    `ingestion_executor` runs the steps of `ingest_parallel`. On a cluster, pass the executor of dagster-k8s,
    dagster-docker or dagster-celery.
    """
    settings = settings or load_settings()
    quiet_false_alarms()
    models = dbt_models(settings, project)
    ingestion = ingest_job(settings, ingestion_executor)
    return dg.Definitions(
        assets=[
            *landing_specs(),
            mapped_folders,
            bill_pulls,
            *(stripe_asset(stripe_report) for stripe_report in PULLED_REPORTS),
            *(raw_asset(table) for table in RAW_TABLES),
            mapped_entries,
            provider_bills,
            price_book,
            build_plan,
            models,
            published_warehouse(final_models(models), settings),
            *(export_assets(settings) if exports else []),
        ],
        jobs=[refresh_job, publish_job, ingestion, *([export_job] if exports else [])],
        schedules=[daily(settings.reporting_timezone)],
        sensors=[
            new_files_sensor(settings),
            stripe_data_sensor(settings),
            ingested_sensor(ingestion),
            alerts_sensor(settings),
            *([unfinished_exports_sensor(settings)] if exports else []),
        ],
        resources={"warehouse": warehouse_resource(settings), **resources},
        loggers=loggers,
        # The steps run one after another anyway. A process for each would cost 5 s of imports.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the code location that Dagster's servers load."""
    settings = load_settings()
    settings.home.make()
    log = logging.getLogger(__name__)
    variables = [one.pull.dsn_variable for one in mappings_of(settings.home).values() if one.pull]
    variables += variables_of(settings.home)
    for warning in filter(None, [settings.home.exposure(), *settings_warnings(variables)]):
        log.warning("%s", warning)
    return build_defs(settings)
