"""Jobs, the schedule and the sensors: when the warehouse is refreshed and exported."""

from datetime import UTC, datetime

import dagster as dg
from filelock import Timeout

from exports.export_records import is_exported
from ingestion.lake.batches import Lake
from ingestion.landing.area import Landing
from ingestion.pulls.windows import gaps
from ingestion.sources.stripe.reports import ACTIVITY
from ingestion.stripe_pull.api import StripeApi, StripeRefusedError, StripeUnavailableError
from ingestion.stripe_pull.pull import pulled_files
from ingestion.unloaded_files import run_key, unloaded_files
from orchestration.alert_delivery.deliver import notify_failed_run, notify_idle_run
from orchestration.assets.exports import GROUP
from orchestration.assets.landing import report_type_of
from orchestration.assets.models import PLAN
from orchestration.resources import Warehouse
from orchestration.run_lock import settle_dead_runs
from paywall_warehouse.errors import words_of
from paywall_warehouse.settings import Settings
from warehouse.publish import record_failed_run
from warehouse.published import published_run
from warehouse.runs import read_runs

DAILY_AT = "30 2 * * *"
LOOK_EVERY_SECONDS = 60
# Stripe makes the data of a day available within 12 hours after the day ends.
ASK_STRIPE_EVERY_SECONDS = 3600
LOOK_FOR_UNFINISHED_EXPORTS_EVERY_SECONDS = 600
EVALUATE_ALERTS_EVERY_SECONDS = 600


@dg.failure_hook(required_resource_keys={"warehouse"})
def log_failed_run(context: dg.HookContext) -> None:
    """Add a run that failed before its checks to the log of runs, and send the alert about it, if any.

    The log is published as `ops.runs`.
    """
    warehouse: Warehouse = context.resources.warehouse
    _log_failed(context, warehouse)
    notify_failed_run(warehouse.settings)


def _log_failed(context: dg.HookContext, warehouse: Warehouse) -> None:
    settings = warehouse.settings
    if any(run.run_id == warehouse.run_id for run in read_runs(settings.home)):
        return
    loaded = [
        manifest for manifest in Lake(settings.home).manifests() if manifest.loaded_at >= warehouse.started_at
    ]
    record_failed_run(
        settings.home,
        warehouse.run_id,
        warehouse.started_at,
        settings.now(),
        warehouse.code_version,
        sum(manifest.records for manifest in loaded),
        sum(manifest.rejected for manifest in loaded),
        _reason(context.op_exception),
    )


def _reason(error: BaseException | None) -> str:
    if isinstance(error, dg.Failure) and error.description:
        return error.description
    return words_of(error) if error else ""


refresh_job = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.all(),
    description=(
        "Load new files, build, check, publish and export. Ends early, as a success, if nothing is new."
    ),
    hooks={log_failed_run},
)


# What a build needs from the landing area and the lake. `close` and `reopen` change neither.
LOADED_GROUPS = ("landing", "raw")

publish_job = dg.define_asset_job(
    "publish",
    selection=(dg.AssetSelection.all() - dg.AssetSelection.groups(*LOADED_GROUPS))
    | dg.AssetSelection.assets(PLAN),
    description=(
        "Build, check, publish and export what is loaded, without loading new files: after a month was closed"
        " or reopened."
    ),
    hooks={log_failed_run},
)


export_job = dg.define_asset_job(
    "export",
    selection=dg.AssetSelection.groups(GROUP),
    description=(
        "Export the published warehouse: after an interrupted run, or when EXPORT_URI, EXPORT_FORMATS or"
        " EXPORT_FOCUS have changed."
    ),
)


def daily(timezone: str) -> dg.ScheduleDefinition:
    """Return the nightly schedule, in reporting time: a new day changes the KPIs even if nothing landed."""
    return dg.ScheduleDefinition(
        name="daily",
        job=refresh_job,
        cron_schedule=DAILY_AT,
        execution_timezone=timezone,
        description=f"Every day at 02:30, {timezone}.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def new_files_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that starts a run when new files have landed."""

    @dg.sensor(
        name="new_files",
        job=refresh_job,
        minimum_interval_seconds=LOOK_EVERY_SECONDS,
        description="Looks every minute for files in the landing area that have not been loaded.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def new_files(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        settle_dead_runs(settings.home, context.instance)
        unloaded = unloaded_files(settings)
        if not unloaded:
            return dg.SkipReason("every landed file has been loaded")
        return dg.RunRequest(run_key=run_key(unloaded), tags={"new_files": str(len(unloaded))})

    return new_files


def stripe_data_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that starts a run when Stripe has data that have not been pulled yet."""

    @dg.sensor(
        name="stripe_data",
        job=refresh_job,
        minimum_interval_seconds=ASK_STRIPE_EVERY_SECONDS,
        description=(
            "If STRIPE_API_KEY is set, asks Stripe every hour until when it has data, and starts a run when"
            " there are new data."
        ),
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def stripe_data(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if settings.stripe_api_key is None:
            return dg.SkipReason("STRIPE_API_KEY is not set")
        api, report_type = StripeApi(settings), report_type_of(settings, ACTIVITY) or ""
        try:
            available = api.available(report_type)
            covered = pulled_files(Landing.of(settings), report_type, api.account, api.livemode)
        except (StripeRefusedError, StripeUnavailableError) as error:
            # The daily run meets the same fault and reports it in its log.
            return dg.SkipReason(str(error))
        if not gaps(available, [one.span for one in covered]):
            return dg.SkipReason(f"all data until {available[1]:%Y-%m-%d %H:%M} UTC have been pulled")
        return dg.RunRequest(run_key=f"stripe-{available[1]:%Y%m%dT%H%M%SZ}")

    return stripe_data


def unfinished_exports_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that exports a publication that an interrupted run has not exported."""

    @dg.sensor(
        name="unfinished_exports",
        job=export_job,
        minimum_interval_seconds=LOOK_FOR_UNFINISHED_EXPORTS_EVERY_SECONDS,
        description=(
            "Checks every ten minutes whether the published warehouse has been exported, and exports it if"
            " not, at most once an hour."
        ),
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def unfinished_exports(_: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        published = published_run(settings)
        if published is None or is_exported(settings):
            return dg.SkipReason("the published warehouse has been exported")
        try:
            with settings.home.run_lock.acquire(blocking=False):
                pass
        except Timeout:
            return dg.SkipReason("a run is at work")
        return dg.RunRequest(run_key=f"export-{published}-{datetime.now(UTC):%Y%m%dT%H}")

    return unfinished_exports


def alerts_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that notices silence while no run starts, and sends what was not delivered."""

    @dg.sensor(
        name="alerts",
        job=refresh_job,
        minimum_interval_seconds=EVALUATE_ALERTS_EVERY_SECONDS,
        description=(
            "If the home has an alerts.yml, evaluates its rules every ten minutes on what is published, and"
            " sends messages that no route has taken yet. Starts no run."
        ),
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def alerts(_: dg.SensorEvaluationContext) -> dg.SkipReason:
        if not settings.home.alerts_file.exists():
            return dg.SkipReason("there is no alerts.yml")
        notify_idle_run(settings)
        return dg.SkipReason("the alerts were evaluated")

    return alerts
