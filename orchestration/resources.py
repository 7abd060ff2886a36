"""The resource that every step of a run uses: its settings, its clock, its Stripe connection."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from ingestion.stripe_pull.api import StripeApi
from orchestration.left_overs import clear_up
from orchestration.run_lock import exclusive
from paywall_warehouse.files import replace_text
from paywall_warehouse.settings import Settings
from warehouse.code_version import code_version

OWNER = "team:finance-data"


@dataclass(frozen=True)
class Warehouse:
    """The settings of one run, with one `AS_OF` for all its steps."""

    settings: Settings
    run_id: str
    started_at: datetime
    code_version: str
    full_refresh: bool
    stripe: StripeApi | None = None
    """None without a key. All pulls of a run share it, and with it the budget of reads."""
    stripe_given_up: list[str] = field(default_factory=list)
    """The report type whose pull waited for Stripe without success. Later pulls of the run do not wait."""
    unreachable: list[str] = field(default_factory=list)
    """Why the export location cannot be written to. One export waited for it; the others do not."""

    @contextmanager
    def building(self, *, whole: bool) -> Iterator[None]:
        """Mark the build file as unfinished until the block ends without an error.

        A file with the mark is not published.
        The mark stays if only some models are built (not `whole`).
        """
        replace_text(self.settings.home.unfinished_build, self.run_id)
        yield
        if whole:
            self.settings.home.unfinished_build.unlink()

    @property
    def is_finished(self) -> bool:
        """Return whether the last build succeeded. Without this, a half-built file could pass the checks."""
        return not self.settings.home.unfinished_build.exists()


def warehouse_resource(settings: Settings) -> dg.ResourceDefinition:
    """Return the resource `Warehouse`. A run that holds it also holds the lock of the home."""

    @dg.resource(
        description="The settings of this run. While a run holds it, other runs on the same home wait.",
        config_schema={
            "full_refresh": dg.Field(
                bool, default_value=False, description="Rebuild every table from the lake."
            ),
            "wait": dg.Field(
                bool,
                default_value=True,
                description="Wait while another run works on the home. If false, fail at once.",
            ),
        },
    )
    def warehouse(context: dg.InitResourceContext) -> Iterator[Warehouse]:
        run_id = context.run_id or "unknown"
        log, wait = context.log or logging.getLogger(__name__), context.resource_config["wait"]
        with exclusive(settings.home, run_id, context.instance, log, wait=wait):
            clear_up(settings)
            started_at = datetime.now(UTC)
            yield Warehouse(
                settings=settings.model_copy(update={"as_of": settings.as_of or started_at}),
                run_id=run_id,
                started_at=started_at,
                code_version=code_version(),
                full_refresh=context.resource_config["full_refresh"],
                stripe=StripeApi(settings) if settings.stripe_api_key else None,
            )

    return warehouse
