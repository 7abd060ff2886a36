"""The panel in the sidebar that lists, saves and deletes views."""

from urllib.parse import urlencode

import streamlit as st
from filelock import Timeout

from dashboard.context import link_to_view
from dashboard.saved_views import WrongViewError, delete_view, save_view, saved_views
from paywall_warehouse.home import Home

NAME = "view_name"
FAULT = "view_fault"


@st.fragment
def saved_views_panel(home: Home, page: str) -> None:
    """Draw the panel, its widgets only while it is open.

    `page` is the address of the current page without parameters.
    """
    with st.expander("Saved views", key="saved_views", on_change="rerun") as panel:
        if not panel.open:
            return
        views = saved_views(home)
        # The page is opened by its address, so that the panel knows what to save only now.
        address = f"{page or './'}?{urlencode(_parameters(), doseq=True, errors='replace')}"
        for view in views:
            link_to_view(view.address, view.name)
        if not views:
            st.caption("A view keeps this page and its filters under a name, for everybody here.")
        st.text_input("Name", key=NAME, max_chars=60, placeholder="Such as “October, EUR”")
        st.button("Save this view", on_click=_save, args=(home, address))
        if views:
            st.selectbox("View to delete", [view.name for view in views], key="view_to_delete")
            st.button("Delete", on_click=_delete, args=(home,))
        if FAULT in st.session_state:
            st.error(st.session_state.pop(FAULT))


def _parameters() -> dict[str, list[str]]:
    return {name: st.query_params.get_all(name) for name in st.query_params}


def _save(home: Home, address: str) -> None:
    try:
        save_view(home, st.session_state[NAME], address)
    except (WrongViewError, Timeout, OSError) as error:
        st.session_state[FAULT] = _reason(error)
    else:
        st.session_state[NAME] = ""


def _delete(home: Home) -> None:
    try:
        delete_view(home, st.session_state["view_to_delete"])
    except (Timeout, OSError) as error:
        st.session_state[FAULT] = _reason(error)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, WrongViewError) else f"The views cannot be written: {error}"
