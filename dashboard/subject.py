"""The head of a page about one thing, which the address names."""

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
    """The thing whose id is a parameter of the address, its id shown to be copied; None if nothing is
    published of it, which is said.
    """
    thing_id = st.query_params.get(parameter, "")
    st.subheader(title, anchor=False)
    copyable(thing_id, "the id")
    row = find(context.snapshot, thing_id)
    if row is None:
        st.info(f"Nothing is published under this id. {hint}", icon=":material/search_off:")
        link_to(page, page.capitalize())
    return row
