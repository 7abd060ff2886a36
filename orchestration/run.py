"""One run of the job `refresh` in this process, and what it says at its end."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import duckdb
import typer

from exports.runs import PUBLISHED, Run, read_runs
from exports.summary import RejectReason, period_kpis
from ingestion.lake import Lake, Manifest
from orchestration import assets, report
from orchestration.definitions import build_defs
from orchestration.progress import terminal_logger
from paywall_warehouse.settings import Settings

GOOD, NOT_PUBLISHED = 0, 1
REASONS_SHOWN = 5


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    run_id: str
    success: bool
    published: bool
    errors: list[str]


def run_once(settings: Settings, instance: dg.DagsterInstance, *, full_refresh: bool = False) -> int:
    """Run the job and tell how it ended; returns the exit code."""
    known = {manifest.batch_seq for manifest in Lake(settings.home).manifests()}
    outcome = execute(settings, instance, full_refresh=full_refresh)
    batches = [manifest for manifest in Lake(settings.home).manifests() if manifest.batch_seq not in known]
    for line in ("", *closing_summary(settings, outcome, batches)):
        typer.echo(line, file=sys.stdout if outcome.success else sys.stderr)
    return GOOD if outcome.success else NOT_PUBLISHED


def execute(settings: Settings, instance: dg.DagsterInstance, *, full_refresh: bool = False) -> Outcome:
    """The job `refresh` in this process, on the instance that the UI shows."""
    defs = build_defs(settings, loggers={"progress": terminal_logger()})
    result = defs.resolve_job_def("refresh").execute_in_process(
        run_config={"resources": {"warehouse": {"config": {"full_refresh": full_refresh}}}, "loggers": {"progress": {}}},
        instance=instance,
        raise_on_error=False,
    )
    published = any(event.asset_key == assets.PUBLISHED for event in result.get_asset_materialization_events())
    return Outcome(result.run_id, result.success, published, list(_errors(result)))


def _errors(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    """The failed steps in words: what the step said itself, else the exception behind it."""
    failures = [event.step_failure_data for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_FAILURE]
    for failure in failures:
        said = failure.user_failure_data.description if failure.user_failure_data else None
        yield said or _first_cause(failure.error)
    if not failures and not result.success:
        ends = (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)
        last = [event for event in result.all_events if event.event_type in ends]
        yield _first_cause(getattr(last[-1].event_specific_data, "error", None)) if last else "The run ended early."


def _first_cause(error: Any) -> str:
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "The run was interrupted."


def closing_summary(settings: Settings, outcome: Outcome, batches: list[Manifest]) -> Iterator[str]:
    """New and rejected records, the main KPIs against the period before, where the file is."""
    path = settings.home.published_file
    if not outcome.success:
        yield from outcome.errors
        yield ""
        kept = f"{path} stays as it was." if path.exists() else "There is no published file yet."
        yield f"Not published. {kept}"
        return
    if not outcome.published:
        run = last_published(settings)
        when = f", published {run.finished_at:%Y-%m-%d %H:%M} UTC" if run else ""
        yield f"Nothing new: {path} stays as it is{when}."
        return
    records, rejected = sum(batch.records for batch in batches), sum(batch.rejected for batch in batches)
    yield f"{records:,} new records, {rejected:,} of them rejected."
    yield from reject_lines(reject_reasons(settings, batches))
    kpis = period_kpis(path)
    if kpis:
        yield ""
        header = ("last 30 days", "", "now", "before", "change")
        lines = [(currency, name, *rest) for currency, name, *rest in report.kpi_lines(kpis)]
        yield from report.columns([header, *lines], right=(2, 3, 4))
        yield from report.cost_gaps(kpis)
    else:
        yield f"The warehouse is empty. Put ledger files into {settings.landing}/ledger (see docs/inputs.md), or try `paywall-warehouse sample`."
    yield ""
    yield f"Published: {path}"


def last_published(settings: Settings) -> Run | None:
    """The run that made the published file."""
    return next((run for run in reversed(read_runs(settings.home)) if run.status == PUBLISHED), None)


def reject_reasons(settings: Settings, batches: list[Manifest]) -> list[RejectReason]:
    """Why records of these batches were rejected, the most frequent reason first."""
    files = [str(file) for file in Lake(settings.home).parquet_files("rejects", batches)]
    if not files:
        return []
    rows = duckdb.sql(
        """select reason_code, count(*), first(path order by path, line), first(line order by path, line),
            first(reason order by path, line)
        from read_parquet($files) group by reason_code order by count(*) desc, reason_code""",
        params={"files": files},
    ).fetchall()
    return [RejectReason(*row) for row in rows]


def reject_lines(reasons: list[RejectReason]) -> Iterator[str]:
    """The most frequent reasons, each with where the first such record stands."""
    if reasons:
        shown = [(f"  {one.records:,} ×", one.reason_code, report.place_of(one), one.first_reason) for one in reasons[:REASONS_SHOWN]]
        yield from report.columns(shown, right=(0,))
    if len(reasons) > REASONS_SHOWN:
        yield f"  … and {len(reasons) - REASONS_SHOWN} more reasons: select * from ops.rejected_records"
