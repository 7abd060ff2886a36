"""The page of a ledger entry: all of its fields, and related entries, payments and errors."""

import streamlit as st

from dashboard import formats
from dashboard.context import Context, link_to
from dashboard.copying import copyable
from dashboard.error_help import error_columns
from dashboard.ledger_view import ledger_columns
from dashboard.queries import ledger as ledger_queries
from dashboard.snapshot import Row
from dashboard.subject import subject
from dashboard.tables import fields, table, text_column

MONEY = ("amount", "balance_effect", "revenue", "refunds", "platform_fees")
TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
INSTANTS = ("occurred_at", "updated_at")


def show(context: Context) -> None:
    """Draw the page of the entry in the address."""
    row = subject(
        context, "entry", "Ledger entry", ledger_queries.entry, "Search for it on the ledger page.", "ledger"
    )
    if row is None:
        return
    left, right = st.columns(2)
    with left:
        fields(
            [(name, _text_of(context, row, name)) for name in row if name not in ("metadata", "entry_id")],
            alt="Fields of the entry",
        )
    with right:
        _links(context, row)
        st.markdown("**Metadata**")
        copyable(formats.indented_json(row["metadata"]), "the metadata")
    related = ledger_queries.related_entries(context.snapshot, row)
    if related:
        st.subheader("Related entries", anchor=False)
        table(
            related,
            [text_column("connection", "Relation"), *ledger_columns(context)],
            alt="Related entries",
        )
    errors = ledger_queries.errors_of_request(context.snapshot, row["request_id"])
    if errors:
        st.subheader("Errors of the same request", anchor=False)
        table(errors, error_columns(context, errors), alt="Errors of the same request")


def _text_of(context: Context, row: Row, name: str) -> str:
    value = row[name]
    if name == "provider_cost":
        return formats.with_currency(value, row["provider_cost_currency"])
    if name in MONEY:
        return formats.with_currency(value, row["currency"])
    if name in TOKENS:
        return formats.whole(value)
    if name in INSTANTS:
        return f"{formats.instant(value, context.timezone)} {context.timezone}"
    return formats.text(value)


def _links(context: Context, row: Row) -> None:
    if row["user_id"] is not None:
        link_to("user", f"User {row['user_id']}", user=row["user_id"])
    if row["request_id"] is not None:
        link_to("ledger", f"Request {row['request_id']}", id=row["request_id"])
    if (related := row["related_entry_id"]) is not None:
        if ledger_queries.entry(context.snapshot, related) is not None:
            link_to("entry", f"Related entry {related}", entry=related)
        else:
            st.caption(f"Related entry {formats.plain(related)}, which is not in the published ledger.")
    for name in ("payment_intent_id", "charge_id", "checkout_session_id", "payment_id"):
        if row[name] is not None:
            link_to("ledger", f"Payment {row[name]}", id=row[name])
    for case in ledger_queries.cases_of_entry(context.snapshot, row["entry_id"]):
        label = case["break_type"] or case["status"]
        link_to("case", f"Reconciliation case: {label}", case=case["case_id"])
