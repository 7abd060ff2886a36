"""The checks before publication, and publication itself.

If the checks pass, the build file is trimmed to the schemas for readers and replaces the published file.
"""

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb

from paywall_warehouse.duckdb_connections import insert_rows, open_duckdb
from paywall_warehouse.files import replace_file
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from warehouse.alerts.evaluate import evaluate_publication
from warehouse.build_file import ON_CLUSTER, note_publication
from warehouse.checks.build_checks import check_build
from warehouse.checks.invariant import Invariant
from warehouse.engine import Candidate
from warehouse.periods import periods_query
from warehouse.runs import FAILED, PUBLISHED, Run, append_run, read_runs

log = logging.getLogger(__name__)

# The log of runs is read as a whole, and its reasons are shown in one line.
REASON_CHARACTERS = 300
PUBLISHED_SCHEMAS = ("marts", "ops", ON_CLUSTER)

OPS_INVARIANTS = """
create schema if not exists ops;
create table if not exists ops.invariants (
    name varchar,
    scope varchar,
    expected decimal(38, 12),
    actual decimal(38, 12),
    difference decimal(38, 12),
    passed boolean,
    run_id varchar,
    checked_at timestamptz,
    query varchar,
    severity varchar
);
-- A build file of an earlier version does not have this column yet.
alter table ops.invariants add column if not exists severity varchar;
"""

OPS_OF_THE_LAKE = """
create or replace table ops.loaded_files as
    select path, sha256, bytes, records, rejected, loaded_at, source, accepted, batch_seq, filtered,
        rounded_amounts, cost_stated
    from raw.loaded_files where status = 'loaded' order by loaded_at, path;
create or replace table ops.rejected_records as
    select source, path, line, reason_code, reason, raw, first_seen_at, batch_seq
    from raw.rejected_records order by first_seen_at, path, line;
create or replace table ops.unmapped_columns as
    select source, path, column_name, min(first_seen_at) as first_seen_at
    from raw.unmapped_columns group by all order by source, path, column_name;
create or replace table ops.failed_pulls as select * from raw.failed_pulls order by source;
create or replace table ops.provider_names as select name, provider from raw.bill_providers order by name;
create or replace table ops.erasures as select * from raw.erasures order by erased_at, pseudonym;
create or replace table ops.period_events as
    select act_no, month_start, action, acted_at, acted_by, note, lines, digest
    from raw.period_acts order by act_no;
create or replace table ops.runs (
    run_id varchar,
    started_at timestamptz,
    finished_at timestamptz,
    as_of timestamptz,
    status varchar,
    new_records bigint,
    rejected_records bigint,
    code_version varchar,
    reason varchar
);
"""


@dataclass(frozen=True)
class Publication:
    """The results of the checks, and whether the build was published."""

    invariants: list[Invariant]
    published: bool
    path: Path
    row_counts: dict[str, int]
    """The number of rows of each mart, by its name without the schema."""
    new_records: int
    rejected_records: int
    check_seconds: float
    publish_seconds: float

    @property
    def failures(self) -> list[Invariant]:
        """The invariants that prevent publication."""
        return [invariant for invariant in self.invariants if invariant.blocks]


def check_and_publish(
    settings: Settings,
    run_id: str,
    started_at: datetime,
    as_of: datetime,
    code_version: str,
    candidate: Candidate,
) -> Publication:
    """Check every invariant of the candidate, and publish the build file if all hold.

    Otherwise the published file stays as it is. The run is logged in both cases. `as_of` is the instant that
    the build used as the present. All instants are UTC.
    """
    home = settings.home
    begin = time.perf_counter()
    with home.writing():
        with open_duckdb(home.build_file, config=settings.duckdb_config()) as connection:
            invariants = check_build(connection, settings, partial(candidate.read_check, connection))
            _record(connection, invariants, run_id)
            row_counts = _row_counts(connection)
            new_records, rejected_records = _new_records(connection)
            connection.execute("checkpoint")
        checked = time.perf_counter()
        passed = not any(invariant.blocks for invariant in invariants)
        run = Run(
            run_id=run_id,
            started_at=started_at,
            finished_at=datetime.now(UTC),
            as_of=as_of,
            status=PUBLISHED if passed else FAILED,
            new_records=new_records,
            rejected_records=rejected_records,
            code_version=code_version,
            reason=None if passed else _reason(invariants),
        )
        if passed:
            candidate.promote()
            _publish(settings, [*read_runs(home), run])
        append_run(home, run)
    return Publication(
        invariants=invariants,
        published=passed,
        path=home.published_file,
        row_counts=row_counts,
        new_records=new_records,
        rejected_records=rejected_records,
        check_seconds=checked - begin,
        publish_seconds=time.perf_counter() - checked,
    )


def record_failed_run(
    home: Home,
    run_id: str,
    started_at: datetime,
    as_of: datetime,
    code_version: str,
    new_records: int,
    rejected_records: int,
    reason: str,
) -> None:
    """Log a run that failed before its checks. `reason` is cut to one line."""
    run = Run(
        run_id,
        started_at,
        datetime.now(UTC),
        as_of,
        FAILED,
        new_records,
        rejected_records,
        code_version,
        reason.strip().partition("\n")[0][:REASON_CHARACTERS],
    )
    append_run(home, run)


def _reason(invariants: Sequence[Invariant]) -> str:
    names = dict.fromkeys(invariant.name for invariant in invariants if invariant.blocks)
    return f"failed checks: {', '.join(names)}"[:REASON_CHARACTERS]


def _record(connection: duckdb.DuckDBPyConnection, invariants: Sequence[Invariant], run_id: str) -> None:
    connection.execute(OPS_INVARIANTS)
    checked_at = datetime.now(UTC)
    insert_rows(
        connection,
        "ops.invariants",
        [
            [
                *(one.name, one.scope, str(one.expected), str(one.actual), str(one.difference), one.passed),
                *(run_id, checked_at, one.query, one.severity),
            ]
            for one in invariants
        ],
    )


def _row_counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    tables = connection.execute(
        """select table_name from information_schema.tables
        where table_schema = 'marts' and table_type = 'BASE TABLE'
        order by table_name"""
    ).fetchall()
    return {
        name: connection.execute(f"select count(*) from marts.{name}").fetchall()[0][0] for (name,) in tables
    }


def _new_records(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Return the number of records since the last publication, and how many of them were rejected."""
    row = connection.execute(
        """select cast(coalesce(sum(records), 0) as bigint), cast(coalesce(sum(rejected), 0) as bigint)
        from raw.loaded_files
        where batch_seq > (select through from build.published)"""
    ).fetchall()[0]
    return row[0], row[1]


def _publish(settings: Settings, runs: Sequence[Run]) -> None:
    home = settings.home
    for left_over in home.published_file.parent.glob(".warehouse.duckdb.*.partial*"):
        left_over.unlink()
    fingerprint, built_through = _trim_for_readers(settings, runs)

    def move(partial: Path) -> None:
        shutil.move(home.build_file, partial)  # a copy if the folder is on another file system
        note_publication(home, partial, fingerprint, built_through)

    replace_file(home.published_file, move)


def _trim_for_readers(settings: Settings, runs: Sequence[Run]) -> tuple[str, int]:
    """Drop the schemas that are not published; return the build's fingerprint and its last batch."""
    build_file = settings.home.build_file
    with open_duckdb(build_file) as connection:
        fingerprint, built_through = connection.execute(
            "select fingerprint, built_through from ops.build_state"
        ).fetchall()[0]
        # One transaction, so that the file is still a build file if the process is killed here.
        connection.begin()
        connection.execute(OPS_OF_THE_LAKE)
        connection.execute(periods_query(connection))
        insert_rows(
            connection,
            "ops.runs",
            [
                [
                    run.run_id,
                    run.started_at,
                    run.finished_at,
                    run.as_of,
                    run.status,
                    run.new_records,
                    run.rejected_records,
                    run.code_version,
                    run.reason,
                ]
                for run in runs
            ],
        )
        schemas = connection.execute(
            """select schema_name from information_schema.schemata
            where catalog_name = current_database()
                and schema_name not in ('main', 'information_schema', 'pg_catalog')"""
        ).fetchall()
        for (schema,) in schemas:
            if schema not in PUBLISHED_SCHEMAS:
                connection.execute(f'drop schema "{schema}" cascade')
        connection.commit()
        # Alerts are about the content that readers will see.
        evaluate_publication(connection, settings, runs)
        connection.execute("checkpoint")
    leftover_log = build_file.with_name(build_file.name + ".wal")
    if leftover_log.exists():
        raise RuntimeError(
            f"{leftover_log} is left after a checkpoint: the build file is incomplete and is not published"
        )
    return fingerprint, built_through
