"""The summary at the end of a run. Imports neither Dagster nor dbt, so that `status` starts quickly."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import typer

from ingestion.lake.batches import Lake, Manifest
from ingestion.pulls.failures import failed_pulls
from ingestion.unread_files import unread_warnings
from orchestration import markdown
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.home import Home
from paywall_warehouse.quoting import printable_lines
from paywall_warehouse.settings import Settings
from warehouse.alerts.summary import alert_lines
from warehouse.cost_summary import cost_reconciliation
from warehouse.markups import markup_warnings
from warehouse.periods import period_lines
from warehouse.published_summary import RejectReason, period_kpis, reject_reasons
from warehouse.reconciliation_summary import reconciliation, warnings_of
from warehouse.runs import last_published

REASONS_SHOWN = 5
REFRESH, PUBLISH, EXPORT = "refresh", "publish", "export"


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    job: str
    """`REFRESH`, `PUBLISH` after a month was closed or reopened, or `EXPORT` if nothing else was to do."""
    run_id: str
    success: bool
    published: bool
    exported: bool
    errors: list[str]


def print_summary(settings: Settings, outcome: Outcome, batches: list[Manifest]) -> None:
    """Print the closing summary: to stdout, that of a failed run to stderr."""
    for line in ("", *closing_summary(settings, outcome, batches)):
        typer.echo(printable_lines(line), file=sys.stdout if outcome.success else sys.stderr)


def closing_summary(settings: Settings, outcome: Outcome, batches: list[Manifest]) -> Iterator[str]:
    """Yield new and rejected records, the main KPIs with the previous period, and the path of the file."""
    yield from _summary(settings, outcome, batches)
    yield from alert_lines(settings.home)


def _summary(settings: Settings, outcome: Outcome, batches: list[Manifest]) -> Iterator[str]:
    path = settings.home.published_file
    if outcome.job == REFRESH:
        yield from landing_lines(settings)
    if not outcome.success:
        yield from outcome.errors
        yield ""
        if outcome.published or outcome.job == EXPORT:
            yield f"Published: {path}."
            yield (
                f"Not exported completely: consumers of {settings.exports_shown} keep the previous export."
                " The next run tries again."
            )
            return
        kept = f"{path} was not changed." if path.exists() else "There is no published file yet."
        yield f"Not published. {kept}"
        return
    if not outcome.published:
        run = last_published(settings.home)
        when = f", published {run.finished_at:%Y-%m-%d %H:%M} UTC" if run else ""
        yield f"Nothing new: {path} is up to date{when}."
        yield from failed_pull_lines(settings.home)
        yield from _exported(settings, outcome)
        return
    if outcome.job == REFRESH or batches:
        records, rejected = sum(batch.records for batch in batches), sum(batch.rejected for batch in batches)
        yield f"{records:,} new records, {rejected:,} of them rejected."
        yield from reject_lines(reject_reasons_of(settings.home, batches))
    yield from period_lines(path)
    kpis = period_kpis(path)
    if kpis:
        yield ""
        header = ("last 30 days", "", "now", "before", "change")
        lines = [(currency, name, *rest) for currency, name, *rest in markdown.kpi_lines(kpis)]
        yield from markdown.columns([header, *lines], right=(2, 3, 4))
        yield from markdown.cost_gaps(kpis)
    else:
        yield (
            f"The warehouse is empty: put ledger files into {settings.landing_shown}/ledger (see"
            " docs/inputs.md)."
        )
        yield "`paywall-warehouse sample` lands sample data."
    if payments := markdown.reconciliation_lines(reconciliation(path)):
        yield from ("", *payments)
    if costs := markdown.cost_lines(cost_reconciliation(path)):
        yield from ("", *costs)
    yield from warning_lines(warnings_of(path)[:REASONS_SHOWN])
    yield ""
    yield f"Published: {path}"
    yield from _exported(settings, outcome)


def failed_pull_lines(home: Home) -> Iterator[str]:
    """Yield a line for each source whose last pull failed."""
    for failure in failed_pulls(home):
        yield (
            f"  ! {failure.source} could not be pulled on {failure.failed_at:%Y-%m-%d %H:%M} UTC:"
            f" {failure.reason}"
        )


def warning_lines(warnings: Iterable[str]) -> Iterator[str]:
    """Yield warnings as the summary and `status` show them."""
    yield from (f"  warning: {warning}" for warning in warnings)


def landing_lines(settings: Settings) -> Iterator[str]:
    """Yield warnings about landed files that no source reads, and about markups of no source.

    Yields nothing if the landing area cannot be listed: a load reports that with a better message.
    """
    try:
        warnings = [*unread_warnings(settings), *markup_warnings(settings.home)]
    except Exception:  # each store raises its own errors
        return
    yield from warning_lines(warnings)


def _exported(settings: Settings, outcome: Outcome) -> Iterator[str]:
    if outcome.exported:
        yield f"Exported: {settings.exports_shown}/v1"


def reject_reasons_of(home: Home, batches: list[Manifest]) -> list[RejectReason]:
    """Return why records of these batches were rejected, the most frequent reason first."""
    files = [str(file) for file in Lake(home).parquet_files("rejects", batches)]
    if not files:
        return []
    with open_duckdb() as connection:
        return reject_reasons(connection, "read_parquet($files)", {"files": files})


def reject_lines(reasons: list[RejectReason]) -> Iterator[str]:
    """Yield the most frequent reasons, each with the path and line of the first such record."""
    if reasons:
        shown = [
            (f"  {one.records:,} ×", one.reason_code, markdown.place_of(one), one.first_reason)
            for one in reasons[:REASONS_SHOWN]
        ]
        yield from markdown.columns(shown, right=(0,))
    if len(reasons) > REASONS_SHOWN:
        yield f"  … and {len(reasons) - REASONS_SHOWN} more reasons: select * from ops.rejected_records"
