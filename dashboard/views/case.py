"""The page of a reconciliation case: a payment, or a deposit without one, with the evidence of both sides."""

from html import escape

import streamlit as st

from dashboard import formats
from dashboard.break_help import advice, has_suggestion, words_for, words_of
from dashboard.break_panels import history_table
from dashboard.context import Context, address, link_to
from dashboard.downloads import evidence_address
from dashboard.ledger_view import ledger_columns
from dashboard.queries import reconciliation as reconciliation_queries
from dashboard.snapshot import Row
from dashboard.subject import subject
from dashboard.tables import Column, fields, table, text_column

LEDGER = {
    "ledger_amount": "Credited",
    "clawed_back_amount": "Taken back",
    "net_credit": "Credit that remains",
}
PAID = {
    "paid_amount": "Paid",
    "refunded_amount": "Refunded",
    "disputed_amount": "Disputed",
    "net_payment": "Payment that remains",
}
SETTLED = {"settled_gross": "Settled", "settled_fee": "Fee", "settled_net": "Settled after the fee"}
KEYS = {
    "rail": "Rail",
    "payment_intent_id": "Payment intent",
    "charge_id": "Charge",
    "checkout_session_id": "Checkout Session",
    "payment_id": "Payment id",
}


def show(context: Context) -> None:
    """Draw the page of the case in the address."""
    row = subject(
        context,
        "case",
        "Reconciliation case",
        reconciliation_queries.case,
        "It may have been merged into a payment's case.",
        "reconciliation",
    )
    if row is None:
        return
    _verdict(context, row)
    _sides(row)
    st.markdown("**Deposits of the case, and the entries that relate to them**")
    entries = reconciliation_queries.case_entries(context.snapshot, row["deposit_entry_ids"] or [])
    payment = [text_column(name, label) for name, label in KEYS.items()]
    role = Column("part", "Role", lambda entry: _role(row, entry))
    table(
        entries,
        [role, *ledger_columns(context), text_column("funding", "Funding"), *payment],
        alt="Entries of the case",
    )
    history_table(
        reconciliation_queries.case_history(context.snapshot, row["case_id"]), words_for, context.timezone
    )


def _role(case: Row, entry: Row) -> str:
    is_suggested = entry["part"] == "deposit" and has_suggestion(case)
    return "suggested deposit" if is_suggested else str(entry["part"])


def _sides(row: Row) -> None:
    currency = row["ledger_currency"]
    left, right = st.columns(2)
    with left:
        st.markdown("**The ledger has**")
        if has_suggestion(row):
            st.caption("By the suggested deposit, which is not tied to the payment.")
        fields(
            [
                # Without a deposit, nothing was taken back in no currency.
                (label, formats.with_currency(row[name] if currency else None, currency))
                for name, label in LEDGER.items()
            ],
            alt="The ledger's side",
        )
        if row["user_id"] is not None:
            link_to("user", f"User {row['user_id']}", user=row["user_id"])
    with right:
        st.markdown("**The processor has**")
        sides = [
            (label, formats.with_currency(row[name], row["paid_currency"])) for name, label in PAID.items()
        ]
        sides += [
            (label, formats.with_currency(row[name], row["settlement_currency"]))
            for name, label in SETTLED.items()
        ]
        fields(
            [*sides, *((label, formats.text(row[name])) for name, label in KEYS.items())],
            alt="The processor's side",
        )
        if row["has_unknown_return"]:
            st.caption(
                "Some returned money is known in the settlement currency only. Refunded and disputed show the"
                " known part, or nothing."
            )


def _verdict(context: Context, row: Row) -> None:
    zone = context.timezone
    span = (
        f"first event {formats.marked_instant(row['first_event_at'], zone)}, last"
        f" {formats.marked_instant(row['last_event_at'], zone)}"
    )
    found = f", matched by {formats.plain(row['match_method'])}" if row["match_method"] else ""
    if has_suggestion(row):
        found = ", with a suggested deposit"
    summary = f"{row['age_days']} days old, {span} ({formats.plain(zone)}){found}."
    if row["status"] == "break":
        risk = formats.with_currency(row["amount_at_risk"], row["currency_at_risk"])
        st.error(
            f"**{formats.plain(words_of(row))}**, priority {row['priority']},"
            f" {formats.plain(risk)} at risk. {summary}",
            icon=":material/rule:",
        )
        st.caption(f"Code of the break: `{row['break_type']}`")
    elif row["status"] == "pending":
        st.info(
            f"**Pending**: one side has arrived, the other can still follow. {summary}",
            icon=":material/hourglass_top:",
        )
    else:
        st.success(f"**Matched**. {summary}", icon=":material/check_circle:")
    if row["status"] != "matched":
        known = advice(row)
        suggested = [_entry_link(entry_id) for entry_id in row["deposit_entry_ids"] if has_suggestion(row)]
        links = f"<br>Suggested: {', '.join(suggested)}" if suggested else ""
        st.html(
            f'<p style="overflow-wrap: anywhere">{escape(known.meaning)}<br>'
            f"<strong>What to do:</strong> {escape(known.remedy)}{links}</p>"
        )
    st.link_button("Download the evidence", evidence_address(row["case_id"]), icon=":material/download:")
    st.caption("An archive of CSV files: the case, its ledger entries, its history, and the run.")


def _entry_link(entry_id: str) -> str:
    link = escape(address("entry", entry=entry_id))
    return f'<a class="way" href="{link}" target="_self">{escape(entry_id)}</a>'
