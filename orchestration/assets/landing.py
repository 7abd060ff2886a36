"""The landing area: folders that other systems write, and what a run pulls: reports, rows and bills."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from ingestion.bill_pull.apis import APIS, FOLDER as FOLDER_OF_BILLS, BillApi
from ingestion.configured_pulls import database_pulls
from ingestion.pulls.failures import FailedPull, forget_failure
from ingestion.sources.registry import mappings_of
from ingestion.sources.stripe.reports import FOLDER, UNIFIED_PAYMENTS, StripeReport
from ingestion.stripe_pull.pull import Pulled
from orchestration import markdown
from orchestration.assets.bill_pull import bill_pull
from orchestration.assets.postgres_pull import NO_COUNTS as NO_PULLED_ROWS, postgres_pulls
from orchestration.assets.stripe_pull import pull_or_go_on
from orchestration.resources import OWNER, Warehouse
from orchestration.retries import dagster_retries
from orchestration.run_lock import WRITER_POOL
from paywall_warehouse.settings import Settings


@dataclass(frozen=True)
class LandingFolder:
    """A folder of the landing area that other systems write."""

    name: str
    description: str
    kinds: frozenset[str]

    @property
    def key(self) -> dg.AssetKey:
        """Return `landing/<folder>`."""
        return dg.AssetKey(["landing", self.name])


LANDING_FOLDERS = (
    LandingFolder(
        "ledger",
        "Ledger files as received: deposits, charges, refunds, adjustments, withdrawals.",
        frozenset({"csv", "json", "parquet"}),
    ),
    LandingFolder(
        "events",
        "Webhook deliveries of Paywalls.ai as received, in both documented shapes.",
        frozenset({"json"}),
    ),
    LandingFolder(
        "prices",
        "The operator's own provider rates, which override the built-in price book, and markups.",
        frozenset({"csv"}),
    ),
    LandingFolder(
        "payments",
        "Payments on rails other than Stripe as received, one row per payment.",
        frozenset({"csv"}),
    ),
    LandingFolder(
        "bills",
        "Bills and invoices of model providers as downloaded, and the operator's files about them.",
        frozenset({"csv", "json", "parquet"}),
    ),
)


MAPPED_FOLDERS: Final = dg.AssetKey(["landing", "mapped_sources"])


# Dagster's UI plots numbers over time, so every run states them.
NO_COUNTS: Final = {"new files": 0, "runs created": 0, "runs picked up": 0}


def folder_key(name: str) -> dg.AssetKey:
    """Return the key of a landing folder's asset. Raises `KeyError` if it is not in `LANDING_FOLDERS`."""
    return {folder.name: folder.key for folder in LANDING_FOLDERS}[name]


def stripe_key(stripe_report: StripeReport) -> dg.AssetKey:
    """Return the key of a report's asset: `stripe/` and the report type without `.itemized` and version."""
    return dg.AssetKey([FOLDER, stripe_report.name.removesuffix(".itemized").replace(".", "_")])


def landing_specs() -> list[dg.AssetSpec]:
    """Return the landing folders as external assets, which other systems or people write."""
    return [
        dg.AssetSpec(
            stripe_key(UNIFIED_PAYMENTS),
            description=(
                f'Exports of the page "Payments" of Stripe\'s Dashboard in landing/{FOLDER}/'
                f"{UNIFIED_PAYMENTS.newest_folder}/: for those who cannot run reports."
            ),
            group_name="landing",
            kinds={"csv", "stripe"},
            owners=[OWNER],
        ),
        *(
            dg.AssetSpec(
                folder.key,
                description=folder.description,
                group_name="landing",
                kinds=set(folder.kinds),
                owners=[OWNER],
            )
            for folder in LANDING_FOLDERS
        ),
    ]


@dg.asset(
    key=MAPPED_FOLDERS,
    description=(
        "Exports of other systems, each in the folder of its mapping: files that people put there, and rows"
        " that a run pulls from Postgres if the mapping says so and its connection string is set."
    ),
    group_name="landing",
    kinds={"csv", "json", "parquet", "postgres"},
    owners=[OWNER],
    pool=WRITER_POOL,
)
def mapped_folders(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> dg.MaterializeResult[None]:
    """Pull what is new from the databases of the mappings."""
    settings = warehouse.settings
    pulls = database_pulls(settings)
    for name in mappings_of(settings.home).keys() - pulls.keys():
        forget_failure(settings.home, name)
    if not pulls:
        return dg.MaterializeResult(metadata={"pull": "no mapping pulls from a database"})
    with dagster_retries(context):
        pulled = postgres_pulls(settings, pulls, context.log.info, context.log.warning)
    counts = {name: sum(one[name] for one in pulled.values()) for name in NO_PULLED_ROWS}
    details = {
        f"{source}: {name}": value
        for source, one in pulled.items()
        for name, value in one.items()
        if name not in NO_PULLED_ROWS
    }
    context.log.info(f"{counts['new rows']:,} new rows pulled for {', '.join(pulls)}")
    return dg.MaterializeResult(metadata={**counts, **details})


def bill_key(api: BillApi) -> dg.AssetKey:
    """Return the key of the asset that pulls the bills of an API: `bills/<format>`."""
    return dg.AssetKey([FOLDER_OF_BILLS, api.format])


# One step: without keys, three would cost a run more than what they do.
@dg.multi_asset(
    name="bill_pulls",
    specs=[
        dg.AssetSpec(
            bill_key(api),
            description=(
                f"Bills of {api.provider} as files in landing/{api.source}/: files that people put there, and"
                f" pages of its admin API that a run pulls if {api.key_setting.upper()} is set."
            ),
            group_name="landing",
            kinds={"json"},
            owners=[OWNER],
        )
        for api in APIS
    ],
    pool=WRITER_POOL,
)
def bill_pulls(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> Iterator[dg.MaterializeResult[None]]:
    """Pull what is new from the admin APIs whose keys are set."""
    files = days = 0
    for api in APIS:
        # `bill_pull` retries faults of the API, but not those of the landing area's store.
        with dagster_retries(context):
            metadata = bill_pull(warehouse.settings, api, context.log.info, context.log.warning)
        files, days = files + metadata["new files"], days + metadata["new or changed days"]
        yield dg.MaterializeResult(asset_key=bill_key(api), metadata=metadata)
    # The last line is what the command shows of the step.
    if pulled := [api.provider for api in APIS if api.is_active(warehouse.settings)]:
        counts = markdown.count(files, "new file"), markdown.count(days, "new or changed day")
        what = ", ".join(counts) if files else "nothing new"
        context.log.info(f"{what} from {', '.join(pulled)}")


def stripe_asset(stripe_report: StripeReport) -> dg.AssetsDefinition:
    """Return the asset that pulls new data of one Stripe report into the landing area."""

    @dg.asset(
        key=stripe_key(stripe_report),
        description=(
            f"Stripe's {stripe_report.name} as files in landing/{FOLDER}/: files that people put there, and"
            " files that a run pulls if STRIPE_API_KEY is set."
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
            forget_failure(warehouse.settings.home, stripe_report.source)
        if warehouse.stripe is None:
            return nothing_pulled("STRIPE_API_KEY is not set: only files in the landing area are loaded")
        if report_type is None:
            return nothing_pulled("STRIPE_REPORT_TYPES does not contain this report")
        # `pull_or_go_on` retries faults of Stripe, but not those of the landing area's store.
        with dagster_retries(context):
            pulled = pull_or_go_on(
                warehouse, stripe_report, report_type, context.log.info, context.log.warning
            )
        if isinstance(pulled, FailedPull):
            return dg.MaterializeResult(
                metadata={**NO_COUNTS, "report type": report_type, "pull failed": pulled.reason}
            )
        if pulled.left:
            context.log.warning(f"{pulled.report_type}: {pulled.left}")
        context.log.info(describe_pull(pulled))
        return dg.MaterializeResult(metadata=pull_metadata(pulled))

    return pull_new_reports


def nothing_pulled(reason: str) -> dg.MaterializeResult[None]:
    """Return the result of a run that does not pull a report."""
    return dg.MaterializeResult(metadata={**NO_COUNTS, "pull": reason})


def report_type_of(settings: Settings, stripe_report: StripeReport) -> str | None:
    """Return the pinned version of a report type; None if STRIPE_REPORT_TYPES leaves it out.

    The list of Checkout Sessions has no version.
    """
    if not stripe_report.versions:
        return stripe_report.name
    return next(
        (name for name in settings.stripe_report_types if name.rsplit(".", 1)[0] == stripe_report.name), None
    )


def describe_pull(pulled: Pulled) -> str:
    """Return a sentence about what a pull fetched."""
    until = (
        f", Stripe has data until {pulled.available_until:%Y-%m-%d %H:%M} UTC"
        if pulled.available_until
        else ""
    )
    return (
        f"{markdown.count(len(pulled.files), 'new file')} of {pulled.report_type}{until}"
        if pulled.files
        else f"nothing new at Stripe{until}"
    )


def pull_metadata(pulled: Pulled) -> dict[str, Any]:
    """Return the new files, the report runs, and until when Stripe has data."""
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
