"""The sources: what each folder of the landing area holds, and which lake table it is loaded into.

`BUILT_IN` are the sources that have rules of their own. A mapping adds a source whose records become ledger
entries.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from ingestion.landing.area import Landing, LandingFile
from ingestion.readers.layout import Layout, UnreadableFileError
from ingestion.sources import ledger, markups, payments, prices, webhooks
from ingestion.sources.bills import files as bill_files
from ingestion.sources.bills.bill_format import BillFormat
from ingestion.sources.bills.files import BillFacts
from ingestion.sources.bills.formats import BILL_FORMATS, NOT_A_BILL
from ingestion.sources.mappings import entries
from ingestion.sources.mappings.catalog import mappings
from ingestion.sources.mappings.mapping import MappingFile
from ingestion.sources.stripe import records as stripe_records
from ingestion.sources.stripe.coverage import FileFacts, facts_of, unknown_time_zone
from ingestion.sources.stripe.reports import FOLDER, STRIPE_REPORTS, StripeReport, owner_of
from ingestion.validation import reject_codes
from paywall_warehouse.home import Home
from paywall_warehouse.quoting import literal


@dataclass(frozen=True)
class Refusal:
    """A fault that is seen in the records of a file, and for which the whole file is refused."""

    when: str
    """SQL: an aggregate over the staged records of one file."""
    error: UnreadableFileError


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
    """Whether its records name models, whose texts the price book needs."""
    stripe_report: StripeReport | None = None
    """Set for the sources in Stripe's folder, which they share: each reads the files of one report."""
    subfolder: str = ""
    """Where in `folder` a new file of this source goes; '' for the folder itself."""
    made: tuple[str, ...] = ()
    """Columns of staged records that the lake's table does not have. Some sources filter records
    (`is_filtered`) or round amounts (`has_rounded_amount`).
    """
    refusal: Refusal | None = None
    facts: Callable[[Landing, LandingFile], FileFacts | BillFacts] | None = None
    """Returns the facts of a file that its records do not state. Raises `UnreadableFileError`."""
    reads: Callable[[str], bool] = lambda path: True
    """Whether a landed path in `folder` is a file of this source, for sources that share a folder."""
    mapping: MappingFile | None = None
    """Set for the sources that a mapping defines."""

    def files(self, landing: Landing) -> list[LandingFile]:
        """Return the finished files of this source, in the order in which they landed."""
        return [
            replace(
                file,
                source=self.name,
                separator=self.layout.separator,
                page_lists=self.layout.page_lists,
            )
            for file in landing.files(self.folder)
            if self.reads(file.path)
        ]


def _stripe_source(stripe_report: StripeReport) -> Source:
    return Source(
        stripe_report.source,
        FOLDER,
        stripe_report.table,
        stripe_report.layout,
        partial(stripe_records.records_sql, stripe_report),
        stripe_report=stripe_report,
        subfolder=stripe_report.newest_folder,
        refusal=_unknown_zone(stripe_report),
        facts=facts_of,
        reads=lambda path: owner_of(path) is stripe_report,
    )


def _unknown_zone(stripe_report: StripeReport) -> Refusal | None:
    """Return the refusal of files whose deciding times are local times of an unknown zone."""
    if not any(column.decides for column in stripe_report.columns):
        return None
    return Refusal(
        f"bool_or(reject_code = {literal(reject_codes.UNKNOWN_TIME_ZONE)})", unknown_time_zone(stripe_report)
    )


def _bill_source(bills: BillFormat) -> Source:
    return Source(
        f"{bill_files.FOLDER}/{bills.name}",
        bill_files.FOLDER,
        bills.table,
        bills.layout,
        bills.records_sql,
        has_models=bills.table == "bill_lines",
        subfolder=bills.subfolder,
        made=bills.made,
        refusal=Refusal("bool_and(is_estimate)", NOT_A_BILL) if "is_estimate" in bills.made else None,
        facts=bill_files.facts_of,
        reads=partial(bill_files.is_of_format, bills.name),
    )


def _mapped_source(mapping: MappingFile) -> Source:
    return Source(
        mapping.name,
        mapping.name,
        "ledger_entries",
        mapping.layout,
        partial(entries.records_sql, mapping),
        has_models=True,
        made=entries.MADE,
        mapping=mapping,
    )


BUILT_IN = {
    source.name: source
    for source in (
        Source("ledger", "ledger", "ledger_entries", ledger.LAYOUT, ledger.records_sql, has_models=True),
        Source("events", "events", "webhook_events", webhooks.LAYOUT, webhooks.records_sql, has_models=True),
        Source(
            "prices",
            "prices",
            "provider_rates",
            prices.LAYOUT,
            prices.records_sql,
            reads=lambda path: not markups.is_markups(path),
        ),
        Source("markups", "prices", "markups", markups.LAYOUT, markups.records_sql, reads=markups.is_markups),
        Source("payments", "payments", "rail_payments", payments.LAYOUT, payments.records_sql),
        *map(_stripe_source, STRIPE_REPORTS),
        *map(_bill_source, BILL_FORMATS),
    )
}


def sources(home: Home | None) -> dict[str, Source]:
    """Return every source by name: the built-in ones, and one for each mapping, also those of a home.

    Raises `MappingError` if a mapping of the home cannot be used.
    """
    return BUILT_IN | mapped_sources(home)


def mapped_sources(home: Home | None) -> dict[str, Source]:
    """Return the sources that mappings define, by name. Raises `MappingError`."""
    return {name: _mapped_source(mapping) for name, mapping in mappings_of(home).items()}


def mappings_of(home: Home | None) -> Mapping[str, MappingFile]:
    """Return every mapping by name, also those of a home. Raises `MappingError`."""
    return mappings(home, frozenset(source.folder for source in BUILT_IN.values()))


def landed_files(landing: Landing, known: Mapping[str, Source]) -> Iterator[LandingFile]:
    """Yield the finished files of some sources."""
    for source in known.values():
        yield from source.files(landing)
