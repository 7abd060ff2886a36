"""The page of the ledger: every entry, filtered, sorted and paged on the server."""

import streamlit as st

from dashboard import formats
from dashboard.context import Context, link_to
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
    user_id = st.query_params.get("user")
    if user_id and not any_id:
        st.caption(f"The entries of the user {formats.plain(user_id)} only.")
        link_to("user", f"User {user_id}", user=user_id)
        link_to("ledger", "All users")
    ledger_view(context, None if any_id else user_id or None, any_id)
