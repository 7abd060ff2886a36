"""The page of runs: the checks before this publication, rejected records with reasons, and loaded files."""

from collections.abc import Callable
from dataclasses import asdict

import streamlit as st

from dashboard import formats
from dashboard.context import Context
from dashboard.download_panel import download_panel
from dashboard.home import logged_runs
from dashboard.queries import runs as runs_queries
from dashboard.snapshot import Row
from dashboard.tables import Column, count_column, instant_column, paged_table, table, text_column
from paywall_warehouse.sizes import size
from warehouse.checks.invariants import INVARIANTS

RUNS = 50


def show(context: Context) -> None:
    """Draw the page."""
    st.caption("Everything that has been loaded. The filters in the sidebar do not apply to this page.")
    st.link_button(
        "Dagster's UI: lineage, schedules, logs",
        context.settings.dagster_ui_url,
        icon=":material/open_in_new:",
    )
    _runs(context)
    _sources(context)
    _checks(context)
    _rejects(context)
    _files(context)


def _runs(context: Context) -> None:
    st.subheader("Runs", anchor=False)
    zone = context.timezone
    columns = [
        text_column("status", "Status"),
        instant_column("started_at", "Started", zone),
        instant_column("finished_at", "Finished", zone),
        instant_column("as_of", "As of", zone),
        count_column("new_records", "New records"),
        count_column("rejected_records", "Rejected"),
        text_column("reason", "Why it did not publish"),
        text_column("run_id", "Run"),
        text_column("code_version", "Code"),
    ]
    rows = [asdict(run) for run in reversed(logged_runs())][:RUNS]
    # Where only the published file has been copied, there is no log of runs.
    rows = rows or runs_queries.runs(context.snapshot, RUNS)
    later = [row for row in rows if row["finished_at"] > context.about.published_at]
    table(rows, columns, alt="Runs")
    if later:
        st.caption(
            f"The numbers that you see are older than the latest {formats.counted(len(later), 'run')}. They"
            f" are those of the run {formats.plain(context.about.run_id)}."
        )
    download_panel(context, "runs")


def _sources(context: Context) -> None:
    st.subheader("Sources", anchor=False)
    columns = [
        text_column("source", "Source"),
        count_column("files", "Files"),
        count_column("records", "Records"),
        instant_column("last_loaded_at", "Last loaded", context.timezone),
    ]
    table(runs_queries.freshness(context.snapshot), columns, alt="Freshness of the sources")


def _checks(context: Context) -> None:
    st.subheader("Checks before publication", anchor=False)
    rows = runs_queries.invariants(context.snapshot)
    failed = sum(not row["passed"] for row in rows)
    st.markdown(
        f"{formats.counted(len(rows), 'check')}, **{formats.whole(failed)} with a warning**."
        if failed
        else f"{formats.counted(len(rows), 'check')}, all passed."
    )
    columns = [
        Column("passed", "Passed", lambda row: "yes" if row["passed"] else "no"),
        text_column("name", "Check"),
        text_column("scope", "Scope"),
        Column("expected", "Expected", _number("expected"), right=True),
        Column("actual", "Actual", _number("actual"), right=True),
        Column("difference", "Difference", _number("difference"), right=True),
        Column("meaning", "What must hold", lambda row: INVARIANTS.get(row["name"], formats.NOTHING)),
    ]
    table(rows, columns, alt="Checks before publication")
    download_panel(context, "checks")


def _number(name: str) -> Callable[[Row], str]:
    return lambda row: formats.money(row[name], None)


def _rejects(context: Context) -> None:
    st.subheader("Rejected records", anchor=False)
    reasons = runs_queries.rejects_by_reason(context.snapshot)
    if not reasons:
        st.success("No record has been rejected.", icon=":material/check_circle:")
        return
    zone = context.timezone
    columns = [
        text_column("source", "Source"),
        text_column("reason_code", "Reason"),
        count_column("records", "Records"),
        instant_column("first_seen_at", "First seen", zone),
        instant_column("last_seen_at", "Last seen", zone),
    ]
    table(reasons, columns, alt="Rejected records by reason")
    codes = list(dict.fromkeys(row["reason_code"] for row in reasons))
    chosen = st.multiselect("Reason", codes, key="reason", bind="query-params", placeholder="All")
    paged_table(
        lambda page: runs_queries.rejects(context.snapshot, chosen, page),
        runs_queries.count_rejects(context.snapshot, chosen),
        [
            instant_column("first_seen_at", "First seen", zone),
            text_column("source", "Source"),
            text_column("path", "File"),
            count_column("line", "Line"),
            text_column("reason_code", "Reason"),
            text_column("reason", "What is wrong"),
            text_column("raw", "Raw text", folded=True),
        ],
        alt="Rejected records",
        prefix="reject_",
        first="first_seen_at",
    )
    download_panel(context, "rejected_records", reason=chosen)


def _files(context: Context) -> None:
    st.subheader("Loaded files", anchor=False)
    paged_table(
        lambda page: runs_queries.files(context.snapshot, page),
        runs_queries.count_files(context.snapshot),
        [
            instant_column("loaded_at", "Loaded", context.timezone),
            text_column("source", "Source"),
            text_column("path", "File"),
            count_column("records", "Records"),
            count_column("accepted", "Accepted"),
            count_column("rejected", "Rejected"),
            Column("bytes", "Size", lambda row: size(row["bytes"]), right=True),
        ],
        alt="Loaded files",
        prefix="file_",
        first="loaded_at",
    )
    download_panel(context, "loaded_files")
