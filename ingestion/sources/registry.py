"""The sources: what each folder of the landing area holds, and which lake table it is loaded into."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from ingestion.landing.area import Landing, LandingFile
from ingestion.readers.inspection import Layout
from ingestion.sources import ledger, payments, prices, webhooks
from ingestion.sources.stripe import records as stripe_records
from ingestion.sources.stripe.reports import FOLDER, STRIPE_REPORTS, StripeReport, owner_of


@dataclass(frozen=True)
class Source:
    """One kind of file in the landing area, and the lake table that it is loaded into."""

    name: str
    """The name in `ops.loaded_files` and `ops.rejected_records`."""
    folder: str
    table: str
    layout: Layout
    records_sql: Callable[[str], str]
    """Returns SQL that types and validates the records of a relation of texts."""
    has_models: bool = False
    """Whether the table has a column `model`, whose texts the price book needs."""
    stripe_report: StripeReport | None = None
    """Set for the sources in Stripe's folder, which they share: each reads the files of one report."""

    def files(self, landing: Landing) -> list[LandingFile]:
        """Return the finished files of this source, in the order in which they landed."""
        found = landing.files(self.folder)
        if self.stripe_report is not None:
            found = [file for file in found if owner_of(file.path) is self.stripe_report]
        return [replace(file, source=self.name) for file in found]


def _stripe_source(stripe_report: StripeReport) -> Source:
    return Source(
        stripe_report.source,
        FOLDER,
        stripe_report.table,
        stripe_report.layout,
        partial(stripe_records.records_sql, stripe_report),
        stripe_report=stripe_report,
    )


SOURCES = {
    source.name: source
    for source in (
        Source("ledger", "ledger", "ledger_entries", ledger.LAYOUT, ledger.records_sql, has_models=True),
        Source("events", "events", "webhook_events", webhooks.LAYOUT, webhooks.records_sql, has_models=True),
        Source("prices", "prices", "provider_rates", prices.LAYOUT, prices.records_sql),
        Source("payments", "payments", "rail_payments", payments.LAYOUT, payments.records_sql),
        *map(_stripe_source, STRIPE_REPORTS),
    )
}


def landed_files(landing: Landing) -> Iterator[LandingFile]:
    """Yield the finished files of all sources."""
    for source in SOURCES.values():
        yield from source.files(landing)
