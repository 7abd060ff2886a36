"""The page of a case of the cost reconciliation: both sides, with their bill lines and charges."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from dashboard import formats
from dashboard.break_panels import history_table
from dashboard.context import Context, link_to
from dashboard.cost_break_help import cost_break_help, difference_words, words_for
from dashboard.downloads import cost_evidence_address
from dashboard.ledger_view import ledger_columns
from dashboard.queries import costs as cost_queries
from dashboard.snapshot import Row
from dashboard.subject import subject
from dashboard.tables import (
    Column,
    count_column,
    fields,
    money_column,
    paged_table,
    table,
    text_column,
)
from dashboard.views.costs import EARLIER_VERSION, case_columns

# Columns of the other breaks of the day that are the same as in the case.
SAME = ("provider", "status", "broken_since")

FIRST = ("occurred_at", "entry_id", "provider_cost", "provider_cost_basis", "total_tokens", "billed_by")


def show(context: Context) -> None:
    """Draw the page of the case in the address."""
    if not cost_queries.is_published(context.snapshot):
        st.info(EARLIER_VERSION, icon=":material/info:")
        return
    row = subject(
        context,
        "case",
        "Cost case",
        cost_queries.case,
        "A later bill or charge may have another model, provider or currency.",
        "costs",
    )
    if row is None:
        return
    others = cost_queries.other_breaks(context.snapshot, row)
    _verdict(context, row, cost_queries.billed_names(context.snapshot, row))
    _sides(context, row)
    _lines(context, row)
    _charges(context, row)
    _others(context, others)
    _history(context, row)


def _verdict(context: Context, row: Row, billed_names: Sequence[str]) -> None:
    zone = context.timezone
    where = f"{row['provider']}, {formats.day(row['usage_date'])} (UTC day), {row['model_id']}"
    what = f"{formats.plain(where)}, in {row['currency'].upper()}."
    if row["status"] == "break":
        risk = formats.with_currency(row["at_risk"], row["currency"])
        since = f"{formats.marked_instant(row['broken_since'], zone)} ({formats.plain(zone)})"
        st.error(
            f"**{formats.plain(words_for(row['break_type']))}**, priority {row['priority']},"
            f" {formats.plain(risk)} at risk, since {since}. {what}",
            icon=":material/rule:",
        )
        st.caption(f"Code of the break: `{row['break_type']}`")
    elif row["status"] == "pending":
        st.info(f"**Pending**: the bill is not final. {what}", icon=":material/hourglass_top:")
    else:
        st.success(f"**Matched**. {what}", icon=":material/check_circle:")
    known = cost_break_help(row, billed_names)
    remedy = f"<br><strong>What to do:</strong> {escape(known.remedy)}" if row["status"] != "matched" else ""
    st.html(
        f'<p style="overflow-wrap: anywhere">{escape(difference_words(row))}<br>'
        f"{escape(known.meaning)}{remedy}</p>"
    )
    st.link_button("Download the evidence", cost_evidence_address(row["case_id"]), icon=":material/download:")
    st.caption("An archive of CSV files: the case, its bill lines, its charges, its history, and the run.")


def _sides(context: Context, row: Row) -> None:
    currency = row["currency"]
    left, middle, right = st.columns(3)

    def amount(name: str) -> str:
        return formats.with_currency(row[name], currency)

    with left:
        st.markdown("**The ledger has**")
        fields(
            [
                ("Cost", amount("ledger_cost")),
                ("Of it estimated", amount("ledger_cost_estimated")),
                ("Charges", formats.whole(row["charges"])),
                ("Charges without a cost", formats.whole(row["charges_without_cost"])),
                ("Tokens", formats.whole(row["ledger_tokens"])),
            ],
            alt="The ledger's side",
        )
    with middle:
        st.markdown("**The bill has**")
        sums = cost_queries.line_sums(context.snapshot, row)
        fields(
            [
                ("Cost", amount("billed_cost")),
                ("Lines", formats.whole(sums["bill_lines"])),
                ("Tokens", formats.money(row["billed_tokens"], None)),
            ],
            alt="The bill's side",
        )
    with right:
        st.markdown("**Billed − recorded**")
        fields(
            [
                ("Difference", amount("difference")),
                ("Of it volume", amount("volume_difference")),
                ("Of it rate", amount("rate_difference")),
            ],
            alt="The difference",
        )


def _lines(context: Context, row: Row) -> None:
    st.markdown("**Bill lines of the case**")
    sums = cost_queries.line_sums(context.snapshot, row)
    if not sums["bill_lines"]:
        st.caption("None.")
        return
    columns = [
        text_column("model_as_billed", "Model on the bill"),
        text_column("token_kind", "Tokens of kind"),
        Column("quantity", "Quantity", lambda line: formats.money(line["quantity"], None), right=True),
        text_column("unit", "Unit"),
        money_column("billed_amount", "Billed", row["currency"]),
        text_column("project", "Project"),
        text_column("key", "Key"),
        text_column("account", "Account"),
        text_column("format", "Format"),
        Column("is_rounded", "Rounded to cents", lambda line: "yes" if line["is_rounded"] else "no"),
        Column("is_correction", "Correction", lambda line: "yes" if line["is_correction"] else "no"),
        text_column("invoice_id", "Invoice"),
        text_column("path", "File"),
        count_column("line", "Line"),
    ]
    paged_table(
        lambda page: cost_queries.lines(context.snapshot, row, page),
        sums["bill_lines"],
        columns,
        alt="Bill lines of the case",
        prefix="line_",
        first="billed_amount",
    )
    total = formats.with_currency(sums["billed_cost"], row["currency"])
    lines = formats.counted(sums["bill_lines"], "line")
    _sum_check(f"{lines}, {total} in all", is_equal=row["billed_cost"] in (None, sums["billed_cost"]))


def _charges(context: Context, row: Row) -> None:
    st.markdown("**Charges of the case**")
    sums = cost_queries.charge_sums(context.snapshot, row)
    if sums["charges"]:
        # What the case is about comes first, without scrolling.
        columns = {column.name: column for column in ledger_columns(context)}
        columns["billed_by"] = text_column("billed_by", "Billed by")
        ordered = [columns.pop(name) for name in FIRST] + list(columns.values())
        paged_table(
            lambda page: cost_queries.charges(context.snapshot, row, page),
            sums["charges"],
            ordered,
            alt="Charges of the case",
            prefix="charge_",
            first="occurred_at",
        )
    elif not row["charges"]:
        st.caption("None.")
        return
    known = formats.with_currency(sums["ledger_cost"], row["currency"])
    _sum_check(
        f"{formats.counted(sums['charges'], 'charge')}, known costs of {known} in all",
        is_equal=(sums["charges"], sums["ledger_cost"]) == (row["charges"], row["ledger_cost"]),
    )


def _sum_check(text: str, *, is_equal: bool) -> None:
    """Draw what the rows above add up to, and whether that is what the case has."""
    if is_equal:
        st.caption(f"{text}: as in the case.")
    else:
        st.warning(
            f"{text}: the case has other numbers. Rebuild the file with `paywall-warehouse run"
            " --full-refresh`.",
            icon=":material/warning:",
        )


def _others(context: Context, others: Sequence[Row]) -> None:
    st.markdown("**Other breaks of the provider on this day**")
    table(
        others,
        [column for column in case_columns(context) if column.name not in SAME],
        alt="Other breaks of the day",
    )


def _history(context: Context, row: Row) -> None:
    history_table(cost_queries.case_history(context.snapshot, row["case_id"]), words_for, context.timezone)
    month = f"{row['usage_date']:%Y-%m}"
    link_to(
        "costs",
        f"All cases of {row['provider']} in {month}",
        provider=row["provider"],
        month=month,
        cost_status="",
    )
