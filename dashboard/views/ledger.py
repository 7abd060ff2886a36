"""Ledger: every entry, filtered, sorted and cut into pages on the server."""

import streamlit as st

from dashboard.context import Context
from dashboard.ledger_view import ledger_view


def show(context: Context) -> None:
    """The page."""
    any_id = st.text_input(
        "Find an id",
        key="id",
        bind="query-params",
        placeholder="The whole id of an entry, request, user or payment: in any period and currency",
    ).strip()
    if any_id:
        st.caption(
            "Of all periods and currencies; the filters in the sidebar do not count while an id is looked"
            " for."
        )
    ledger_view(context, any_id=any_id)
