"""The output of the subcommand `status`, which works before the first run and while a run is at work."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import Any

import duckdb

from exports.export_records import is_exported
from ingestion.lake.batches import FileRecord, Lake, Manifest
from ingestion.landed_now import LandedNow
from ingestion.landing.area import Landing
from ingestion.sources.registry import sources
from ingestion.unloaded_files import unloaded_files
from orchestration import markdown
from orchestration.cli.summary import failed_pull_lines, landing_lines, reject_lines
from orchestration.idle_runs import read_idle_runs
from paywall_warehouse.ages import ago
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.errors import first_line
from paywall_warehouse.files import sha256
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from warehouse.alerts.summary import alert_lines
from warehouse.checks.invariant import WARN, exact_text
from warehouse.checks.reject_ratio import refusal
from warehouse.cost_summary import cost_reconciliation
from warehouse.periods import period_lines
from warehouse.published_summary import RejectReason, reject_reasons
from warehouse.reconciliation_summary import reconciliation
from warehouse.runs import last_published, read_runs


def status_lines(settings: Settings) -> Iterator[str]:
    """Yield last run, published file, sources, reconciliation, failed checks and rejects.

    A section that cannot be read is replaced by a line with the reason.
    """
    home = settings.home
    yield f"Home: {home.root}"
    if exposure := home.exposure():
        yield f"Warning: {exposure}"
    yield ""
    yield from _readable("Runs", _runs(settings))
    yield ""
    yield from _readable("Sources", _sources(settings))
    yield from landing_lines(settings)
    yield ""
    yield from _readable("Reconciliation", _reconciliation(home))
    yield from _readable("Alerts", alert_lines(home))
    yield from _readable("Closed months", period_lines(home.published_file))
    yield from _readable("Failed checks", _failed_checks(settings))
    yield from _readable("Rejected records", _rejects(settings))


def _readable(section: str, lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines of a section, and a line with the reason if a file cannot be read."""
    try:
        yield from lines
    except (OSError, duckdb.IOException) as error:
        yield f"{section}: cannot be read: {first_line(error)}"


def _instant(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC, {ago(datetime.now(UTC) - instant)}"


def _runs(settings: Settings) -> Iterator[str]:
    runs = read_runs(settings.home)
    if not runs:
        yield "No run has finished yet: `paywall-warehouse run`."
        return
    last = runs[-1]
    yield (
        f"Last run: {last.status}, {_instant(last.finished_at)}; {last.new_records:,} new records,"
        f" {last.rejected_records:,} rejected"
    )
    idle = read_idle_runs(settings.home)
    if idle and idle.last.finished_at > last.finished_at:
        yield f"Last run with nothing new: {_instant(idle.last.finished_at)}"
    published = last_published(settings.home)
    if published is None or not settings.home.published_file.exists():
        yield "Published: nothing yet"
    else:
        yield f"Published: {settings.home.published_file}, {_instant(published.finished_at)}"
        exported = "" if is_exported(settings) else ", but not completely; the next run completes it"
        yield f"Exported: {settings.exports_shown}/v1{exported}"


def _sources(settings: Settings) -> Iterator[str]:
    manifests = Lake(settings.home).manifests()
    loaded = {file.sha256 for manifest in manifests for file in manifest.files}
    landing = Landing.of(settings)
    # Content that was loaded under another name is not waiting. In a remote landing area this is not checked,
    # because it would download the file.
    waiting = [
        file.source
        for file in unloaded_files(settings)
        if not (landing.is_local and sha256(Path(file.location)) in loaded)
    ]
    rows = [("source", "records", "last loaded", "files waiting")]
    unused = []
    for source in sources(settings.home):
        own = [manifest for manifest in manifests if any(file.source == source for file in manifest.files)]
        if not own and source not in waiting:
            unused.append(source)
            continue
        records = sum(file.accepted for manifest in own for file in manifest.files)
        last = _instant(max(manifest.loaded_at for manifest in own)) if own else "never"
        rows.append((source, f"{records:,}", last, str(waiting.count(source))))
    if len(rows) > 1:
        yield from markdown.columns(rows, right=(1, 3))
    if unused:
        yield from wrap(f"No files yet: {', '.join(unused)}", 100, subsequent_indent="  ")
    yield from failed_pull_lines(settings.home)


def _reconciliation(home: Home) -> Iterator[str]:
    """Yield the reconciliation as published. A file of an earlier version has none."""
    if not home.published_file.exists():
        return
    try:
        lines = [
            *markdown.reconciliation_lines(reconciliation(home.published_file)),
            *markdown.cost_lines(cost_reconciliation(home.published_file)),
        ]
    except duckdb.CatalogException:
        lines = ["Reconciliation: the published file has none yet; the next run adds it"]
    yield from lines
    if lines:
        yield ""


def _rejects(settings: Settings) -> Iterator[str]:
    """Yield the rejects of the files that are in the landing area as they were landed, by reason, and the
    number of those of other files, which were corrected or removed.
    """
    manifests = Lake(settings.home).manifests()
    now = LandedNow(settings, manifests)
    files = [(manifest, file) for manifest in manifests for file in manifest.files if file.rejected]
    standing = [(manifest, file) for manifest, file in files if next(now.places(file), None)]
    rejected = sum(file.rejected for _, file in standing)
    yield f"Rejected records: {rejected:,}" if rejected else "Rejected records: none"
    yield from reject_lines(_reasons(settings.home, standing))
    if former := sum(file.rejected for _, file in files) - rejected:
        yield f"  {former:,} more of files that were corrected or removed since"


def _reasons(home: Home, files: list[tuple[Manifest, FileRecord]]) -> list[RejectReason]:
    """Return why records of these files were rejected, the most frequent reason first."""
    if not files:
        return []
    batches = {manifest.batch_seq: manifest for manifest, _ in files}
    parquet = Lake(home).parquet_files("rejects", list(batches.values()))
    places = [{"batch_seq": manifest.batch_seq, "path": file.path} for manifest, file in files]
    with open_duckdb() as connection:
        rejects = """(
            from read_parquet($rejects) as rejects
            semi join (select unnest($places, recursive := true)) as places using (batch_seq, path)
        )"""
        return reject_reasons(
            connection, rejects, {"rejects": [str(file) for file in parquet], "places": places}
        )


def _failed_checks(settings: Settings) -> Iterator[str]:
    """Yield the failed checks of the last run that got as far as its checks.

    If that run did not publish, they are in the build file, which a run at work may hold.
    """
    home = settings.home
    file = home.build_file if home.build_file.exists() else home.published_file
    if not file.exists():
        yield "Failed checks: none"
        return
    try:
        # While this process has the build file open, a run could not write it.
        with home.between_runs() as is_free:
            found = _failed(settings, file) if is_free else None
    except duckdb.IOException as error:
        if "lock on file" not in str(error):
            raise
        found = None
    if found is None:
        yield "Failed checks: a run is at work"
        return
    rows, explanation = found
    failed = sum(severity != WARN for *_, severity in rows)
    yield f"Failed checks: {failed or 'none'}" + (
        f", warnings: {len(rows) - failed}" if failed < len(rows) else ""
    )
    for name, scope, expected, actual, severity in rows:
        yield (
            f"  {'warning: ' if severity == WARN else ''}{name} ({scope}): expected {exact_text(expected)},"
            f" actual {exact_text(actual)}"
        )
    yield from (f"  {line}" for line in explanation)


def _failed(settings: Settings, file: Path) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Return the failed checks of the last run in a warehouse file, and the explanation of a refusal.

    The explanation of a refusal lists the files concerned and the remedies.
    """
    try:
        with open_duckdb(file, read_only=True) as connection:
            rows = connection.execute(
                """select name, scope, expected, actual, severity from ops.invariants
                where not passed and run_id = (select run_id from ops.invariants order by rowid desc limit 1)
                    order by name, scope"""
            ).fetchall()
            is_refused = file == settings.home.build_file and any(name == "reject_ratio" for name, *_ in rows)
            return rows, list(refusal(connection, settings)) if is_refused else []
    except (duckdb.CatalogException, duckdb.BinderException):  # never checked yet, or by an earlier version
        return [], []
