"""Closing and reopening a month: the rules, and the act that the lake keeps.

The caller holds the run lock, and publishes afterwards. Nothing is changed if a rule forbids the act.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Final

import duckdb

from ingestion.lake.batches import Lake
from ingestion.lake.period_acts import (
    CLOSE,
    REOPEN,
    Act,
    DamagedActError,
    append_act,
    closed_months,
    lines_digest,
    month_after,
    month_text,
    read_acts,
)
from ingestion.unloaded_files import waiting_files
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from warehouse.build_file import published_state
from warehouse.periods import first_line_day, has_journal, journal_lines
from warehouse.plan import reporting_today

FILES_SHOWN: Final = 5
RUN: Final = "`paywall-warehouse run`"


class PeriodRefusedError(Exception):
    """A month may not be closed or reopened now. The message gives the reason and the remedy."""


def close_month(settings: Settings, month: date, acted_by: str, note: str | None) -> Act:
    """Book the published journal lines of a month, at once or not at all, and return the act.

    `month` is its first day. Raises `PeriodRefusedError`.
    """
    [act] = close_months(settings, [month], acted_by, note)
    return act


def close_months(
    settings: Settings, months: Sequence[date], acted_by: str, note: str | None
) -> Sequence[Act]:
    """Book the published journal lines of months that follow each other, and return the acts.

    One publication is enough for all: a month that is booked as it is published changes no line of the next.
    Either every month is booked, or a rule forbids one and none is, or the process was killed in between.
    """
    home = settings.home
    with home.writing():
        acts = _acts(home)
        if already := next((act for act in closed_months(acts) if act.month in months), None):
            raise PeriodRefusedError(_closed_already(already))
        booked: list[Act] = []
        with _published(settings, acts) as connection:
            for month in months:
                _check_order(connection, [*acts, *booked], month)
                _check_ended(settings, month)
                _check_loaded(settings)
                lines = tuple(journal_lines(connection, month))
                booked.append(
                    Act(
                        number=len(acts) + len(booked),
                        action=CLOSE,
                        month=month,
                        acted_at=datetime.now(UTC),
                        acted_by=acted_by,
                        note=note,
                        digest=lines_digest(lines),
                        line_count=len(lines),
                        lines=lines,
                    )
                )
        return [_append(home, act) for act in booked]


def reopen_month(settings: Settings, month: date, acted_by: str, reason: str) -> Act:
    """Take back the close of the latest closed month, and return the act. Its booked lines stay in the lake.

    Raises `PeriodRefusedError`.
    """
    home = settings.home
    with home.writing():
        acts = _acts(home)
        closed = closed_months(acts)
        if not closed:
            raise PeriodRefusedError("No month is closed, so there is nothing to reopen.")
        last = closed[-1]
        if month != last.month:
            is_closed = month < last.month
            raise PeriodRefusedError(
                f"{month_text(month)} is {'not the latest closed month' if is_closed else 'not closed'}."
                f" Only the latest one can be reopened: {last.month_text}."
            )
        return _append(
            home,
            Act(
                number=len(acts),
                action=REOPEN,
                month=month,
                acted_at=datetime.now(UTC),
                acted_by=acted_by,
                note=reason,
                digest=last.digest,
                line_count=last.line_count,
            ),
        )


def _acts(home: Home) -> list[Act]:
    try:
        return read_acts(home)
    except DamagedActError as error:
        raise PeriodRefusedError(str(error)) from error


def _append(home: Home, act: Act) -> Act:
    if not append_act(home, act):
        raise PeriodRefusedError(
            "Another process has closed or reopened a month in this moment. Look at ops.period_events after"
            f" the next {RUN}, then try again."
        )
    return act


def _closed_already(act: Act) -> str:
    return (
        f"{act.month_text} is closed already, by {act.acted_by} on {act.acted_at:%Y-%m-%d %H:%M} UTC."
        f" To close it again, first reopen it: `paywall-warehouse reopen {act.month_text} --by NAME --reason"
        " TEXT`."
    )


def _published(settings: Settings, acts: Sequence[Act]) -> duckdb.DuckDBPyConnection:
    """Open the published file, after checking that it shows every act and that nobody changed it."""
    home = settings.home
    if not home.published_file.exists():
        raise PeriodRefusedError(f"Nothing is published yet, so there are no lines to book. First: {RUN}.")
    if published_state(home) is None:
        raise PeriodRefusedError(
            f"{home.published_file} was changed after it was published. Publish it again first: {RUN}."
        )
    try:
        connection = open_duckdb(home.published_file, read_only=True)
    except duckdb.Error as error:
        raise PeriodRefusedError(
            f"{home.published_file} cannot be read: {str(error).partition(chr(10))[0]}. Close the program"
            " that has it open, then try again."
        ) from error
    try:
        if not has_journal(connection):
            raise PeriodRefusedError(
                "The published file has no journal: an earlier version wrote it, or the journal has more than"
                f" SPARK_PUBLISH_MAX_ROWS lines. First: {RUN}."
            )
        [(published,)] = connection.execute("select count(*) from ops.period_events").fetchall()
        if published < len(acts):
            waiting = acts[published]
            done = "closed" if waiting.action == CLOSE else "reopened"
            raise PeriodRefusedError(
                f"{waiting.month_text} was {done}, and that is not published yet. First: {RUN}."
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _check_order(connection: duckdb.DuckDBPyConnection, acts: Sequence[Act], month: date) -> None:
    closed = closed_months(acts)
    if closed:
        following = month_after(closed[-1].month)
        if month < closed[0].month:
            raise PeriodRefusedError(
                f"{month_text(month)} is before the first closed month, {closed[0].month_text}, so it counts"
                f" as closed. The next one to close is {month_text(following)}."
            )
        if month != following:
            raise PeriodRefusedError(
                f"Months are closed in order: the next one is {month_text(following)}, not"
                f" {month_text(month)}."
            )
        return
    first = first_line_day(connection)
    if first is None:
        raise PeriodRefusedError("The published journal has no lines yet, so there is no month to close.")
    if (month.year, month.month) != (first.year, first.month):
        raise PeriodRefusedError(
            f"The first close is that of the month of the first journal line: {month_text(first)}, not"
            f" {month_text(month)}."
        )


def _check_ended(settings: Settings, month: date) -> None:
    today = reporting_today(settings)
    if today < month_after(month):
        raise PeriodRefusedError(
            f"{month_text(month)} has not ended: today is {today} in {settings.reporting_timezone} (AS_OF)."
            f" Close it from {month_after(month)} on."
        )


def _check_loaded(settings: Settings) -> None:
    """Require that the published file has everything that has landed."""
    if waiting := waiting_files(settings):
        shown = ", ".join(file.path for file in waiting[:FILES_SHOWN])
        more = f" and {len(waiting) - FILES_SHOWN:,} more" if len(waiting) > FILES_SHOWN else ""
        raise PeriodRefusedError(
            f"Landed files are not loaded yet: {shown}{more}. They may have entries of this month."
            f" First: {RUN}."
        )
    published = published_state(settings.home)
    if published is None or Lake(settings.home).next_batch() - 1 > published.built_through:
        raise PeriodRefusedError(
            "Records were loaded that are not published yet, because the last run did not publish. See"
            f" `paywall-warehouse status`, then: {RUN}."
        )
