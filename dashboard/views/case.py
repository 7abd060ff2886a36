"""The page of a reconciliation case: a payment, or a deposit without one, with the evidence of both sides."""

import streamlit as st

from dashboard import formats
from dashboard.break_help import help_for
from dashboard.context import Context, link_to
from dashboard.ledger_view import ledger_columns
from dashboard.queries import reconciliation as reconciliation_queries
from dashboard.snapshot import Row
from dashboard.subject import subject
from dashboard.tables import fields, instant_column, table, text_column

LEDGER = ("ledger_amount", "clawed_back_amount", "net_credit")
PAID = ("paid_amount", "refunded_amount", "disputed_amount", "net_payment")
SETTLED = ("settled_gross", "settled_fee", "settled_net")
KEYS = ("rail", "payment_intent_id", "charge_id", "checkout_session_id", "payment_id")


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
    left, right = st.columns(2)
    with left:
        st.markdown("**The ledger says**")
        fields(
            [(name, formats.with_currency(row[name], row["ledger_currency"])) for name in LEDGER],
            alt="The ledger's side",
        )
        if row["user_id"] is not None:
            link_to("user", f"User {row['user_id']}", user=row["user_id"])
    with right:
        st.markdown("**The processor says**")
        sides = [(name, formats.with_currency(row[name], row["paid_currency"])) for name in PAID]
        sides += [(name, formats.with_currency(row[name], row["settlement_currency"])) for name in SETTLED]
        fields([*((name, formats.text(row[name])) for name in KEYS), *sides], alt="The processor's side")
        if row["has_unknown_return"]:
            st.caption(
                "Some returned money is known in the settlement currency only. Refunded and disputed show the"
                " known part, or nothing."
            )
    st.markdown("**Deposits of the case, and the entries that relate to them**")
    entries = reconciliation_queries.case_entries(context.snapshot, row["deposit_entry_ids"] or [])
    payment = [text_column(name, name) for name in ("funding", "rail", *KEYS[1:])]
    table(
        entries,
        [text_column("part", "Role"), *ledger_columns(context), *payment],
        alt="Entries of the case",
    )
    history = reconciliation_queries.case_history(context.snapshot, row["case_id"])
    st.markdown("**History of breaks**")
    zone = context.timezone
    table(
        history,
        [
            text_column("break_type", "Break"),
            instant_column("opened_at", "Opened", zone),
            instant_column("closed_at", "Closed", zone),
        ],
        alt="History of the case",
    )


def _verdict(context: Context, row: Row) -> None:
    zone = context.timezone
    span = (
        f"first event {formats.instant(row['first_event_at'], zone)}, last"
        f" {formats.instant(row['last_event_at'], zone)}"
    )
    found = f", matched by {formats.plain(row['match_method'])}" if row["match_method"] else ""
    summary = f"{row['age_days']} days old, {span} ({formats.plain(zone)}){found}."
    if row["status"] == "break":
        known = help_for(row["break_type"])
        difference = formats.with_currency(row["difference"], row["ledger_currency"] or row["paid_currency"])
        st.error(
            f"**{formats.plain(row['break_type'])}**, priority {row['priority']}, difference {difference}."
            f" {summary}",
            icon=":material/rule:",
        )
        st.markdown(f"{known.meaning} **What to do:** {known.remedy}")
    elif row["status"] == "pending":
        st.info(
            f"**pending**: one side has arrived, the other may still follow. {summary}",
            icon=":material/hourglass_top:",
        )
    else:
        st.success(f"**matched**. {summary}", icon=":material/check_circle:")
