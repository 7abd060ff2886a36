"""The head of a page about one record, whose id is in the address."""

from collections.abc import Callable

import streamlit as st

from dashboard.context import Context, link_to
from dashboard.copying import copyable
from dashboard.snapshot import Row, Snapshot


def subject(
    context: Context,
    parameter: str,
    title: str,
    find: Callable[[Snapshot, str], Row | None],
    hint: str,
    page: str,
) -> Row | None:
    """Draw the title and the id, and return the record; None if nothing is published under the id."""
    record_id = st.query_params.get(parameter, "")
    st.subheader(title, anchor=False)
    copyable(record_id, "the id")
    row = find(context.snapshot, record_id)
    if row is None:
        st.info(f"Nothing is published under this id. {hint}", icon=":material/search_off:")
        link_to(page, page.capitalize())
    return row
