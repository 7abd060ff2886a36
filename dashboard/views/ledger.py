"""The page of the ledger: every entry, filtered, sorted and paged on the server."""

import streamlit as st

from dashboard.context import Context
from dashboard.ledger_view import ledger_view


def show(context: Context) -> None:
    """Draw the page."""
    any_id = st.text_input(
        "Find an id",
        key="id",
        bind="query-params",
        placeholder="The complete id of an entry, request, user or payment, in any period and currency",
    ).strip()
    if any_id:
        st.caption(
            "Showing all periods and currencies. The filters in the sidebar do not apply while you search for"
            " an id."
        )
    ledger_view(context, any_id=any_id)
