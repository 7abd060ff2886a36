"""When the warehouse is refreshed: every night, and when files have landed."""

from datetime import UTC, datetime

import dagster as dg
from filelock import Timeout

from exports.export_records import is_exported
from ingestion.lake.batches import Lake
from ingestion.landing.area import Landing
from ingestion.sources.stripe.reports import ACTIVITY
from ingestion.sources.stripe.windows import gaps
from ingestion.stripe_pull.api import StripeApi, StripeRefusedError, StripeUnavailableError
from ingestion.stripe_pull.pull import pulled_files
from ingestion.unloaded_files import run_key, unloaded_files
from orchestration.assets.exports import GROUP
from orchestration.assets.landing import report_type_of
from orchestration.resources import Warehouse
from orchestration.run_lock import settle_dead_runs
from paywall_warehouse.settings import Settings
from warehouse.publish import record_failed_run
from warehouse.published import published_run
from warehouse.runs import read_runs

DAILY_AT = "30 2 * * *"
LOOK_EVERY_SECONDS = 60
# Stripe has a day's data some time within the 12 hours after it.
ASK_STRIPE_EVERY_SECONDS = 3600
LOOK_FOR_UNFINISHED_EXPORTS_EVERY_SECONDS = 600


@dg.failure_hook(required_resource_keys={"warehouse"})
def log_failed_run(context: dg.HookContext) -> None:
    """Write a run that ended before its checks to the log of runs, which `ops.runs` shows."""
    warehouse: Warehouse = context.resources.warehouse
    settings = warehouse.settings
    if any(run.run_id == warehouse.run_id for run in read_runs(settings.home)):
        return
    loaded = [
        manifest for manifest in Lake(settings.home).manifests() if manifest.loaded_at >= warehouse.started_at
    ]
    record_failed_run(
        settings,
        warehouse.run_id,
        warehouse.started_at,
        settings.now(),
        warehouse.code_version,
        sum(manifest.records for manifest in loaded),
        sum(manifest.rejected for manifest in loaded),
    )


refresh_job = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.all(),
    description=(
        "Load what landed, build, check, publish, export. Ends early, and well, where nothing is new."
    ),
    hooks={log_failed_run},
)


export_job = dg.define_asset_job(
    "export",
    selection=dg.AssetSelection.groups(GROUP),
    description=(
        "Export what is published: where a run was cut short, or EXPORT_URI or EXPORT_FORMATS have changed."
    ),
)


def daily(settings: Settings) -> dg.ScheduleDefinition:
    """Every night in reporting time: a new day changes the KPIs even where nothing landed."""
    return dg.ScheduleDefinition(
        name="daily",
        job=refresh_job,
        cron_schedule=DAILY_AT,
        execution_timezone=settings.reporting_timezone,
        description=f"Every day at 02:30, {settings.reporting_timezone}.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def new_files_sensor(settings: Settings) -> dg.SensorDefinition:
    """Starts a run when files have landed that no batch knows."""

    @dg.sensor(
        name="new_files",
        job=refresh_job,
        minimum_interval_seconds=LOOK_EVERY_SECONDS,
        description="Looks every minute for files in the landing area that no batch knows.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def new_files(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        settle_dead_runs(settings.home, context.instance)
        unknown = unloaded_files(settings)
        if not unknown:
            return dg.SkipReason("every landed file is known")
        return dg.RunRequest(run_key=run_key(unknown), tags={"new_files": str(len(unknown))})

    return new_files


def stripe_data_sensor(settings: Settings) -> dg.SensorDefinition:
    """Starts a run when Stripe has data that have not been pulled yet."""

    @dg.sensor(
        name="stripe_data",
        job=refresh_job,
        minimum_interval_seconds=ASK_STRIPE_EVERY_SECONDS,
        description=(
            "Asks Stripe every hour, where there is a key, until when it has data, and runs when that is new."
        ),
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def stripe_data(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if settings.stripe_api_key is None:
            return dg.SkipReason("there is no STRIPE_API_KEY")
        api, report_type = StripeApi(settings), report_type_of(settings, ACTIVITY) or ""
        try:
            available = api.available(report_type)
            covered = pulled_files(Landing.of(settings), report_type, api.account, api.livemode)
        except (StripeRefusedError, StripeUnavailableError) as error:
            # The daily run meets the same fault, and fails where people look.
            return dg.SkipReason(str(error))
        if not gaps(available, [one.span for one in covered]):
            return dg.SkipReason(f"everything until {available[1]:%Y-%m-%d %H:%M} UTC has been pulled")
        return dg.RunRequest(run_key=f"stripe-{available[1]:%Y%m%dT%H%M%SZ}")

    return stripe_data


def unfinished_exports_sensor(settings: Settings) -> dg.SensorDefinition:
    """Finishes what a run that was cut short has published and not exported."""

    @dg.sensor(
        name="unfinished_exports",
        job=export_job,
        minimum_interval_seconds=LOOK_FOR_UNFINISHED_EXPORTS_EVERY_SECONDS,
        description=(
            "Looks every ten minutes whether what is published has been exported, and exports it; at most"
            " once an hour."
        ),
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def unfinished_exports(_: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        published = published_run(settings)
        if published is None or is_exported(settings):
            return dg.SkipReason("what is published has been exported")
        try:
            with settings.home.run_lock.acquire(blocking=False):
                pass
        except Timeout:
            return dg.SkipReason("a run is at work")
        return dg.RunRequest(run_key=f"export-{published}-{datetime.now(UTC):%Y%m%dT%H}")

    return unfinished_exports
