"""What every page is given: what is published, the filters, the way to other pages."""

from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode

import streamlit as st

from dashboard.filters import OF_ENTRIES, OF_USERS, Filters
from dashboard.queries import About
from dashboard.snapshot import Snapshot
from paywall_warehouse.settings import Settings

# The parameters of the address that hold on every page.
KEPT = ("period", "days", "compare", "currency", *(parameter for parameter, *_ in (*OF_ENTRIES, *OF_USERS)))
NEXT = "next"


@dataclass(frozen=True)
class Context:
    """One page, from one publication."""

    settings: Settings
    snapshot: Snapshot
    about: About
    filters: Filters

    @property
    def currency(self) -> str:
        """The currency that is shown."""
        return self.filters.currency

    @property
    def timezone(self) -> str:
        """The reporting time zone."""
        return self.about.reporting_timezone


def open_page(page: str, **parameters: str) -> None:
    """Go to another page with the filters of this one; for callbacks, after which `follow` goes."""
    st.session_state[NEXT] = address(page, **parameters)


def follow() -> None:
    """Go where a callback of before wants to: as a click on a link, so that the way back leads here."""
    if NEXT in st.session_state:
        link = _anchor(st.session_state.pop(NEXT), "Open")
        st.html(
            f'<span id="next">{link}</span><script>document.querySelector("#next a").click()</script>',
            unsafe_allow_javascript=True,
        )


def link_to(page: str, label: str, **parameters: str) -> None:
    """A link to another page with the filters of this one; `label` is any text."""
    st.html(_anchor(address(page, **parameters), label))


def link_without_filters() -> None:
    """A link to this page without a parameter."""
    st.html(_anchor("?", "Clear all filters"))


def link_to_log_out() -> None:
    """A link that ends the session of the password."""
    st.html(_anchor("logout", "Log out"))


def address(page: str, **parameters: str) -> str:
    """The address of a page that keeps the filters of this one. Relative, for a proxy may put the dashboard
    below any path.
    """
    kept = {name: st.query_params.get_all(name) for name in KEPT if name in st.query_params}
    return f"{page}?{urlencode(kept | {name: [value] for name, value in parameters.items()}, doseq=True, errors='replace')}"


# Not Streamlit's own links: those to the same page leave the address as it is, `st.switch_page` takes no
# parameter that belongs to a widget and leaves an address of neither page on the way back, and the button for
# addresses opens another window.
def _anchor(address: str, label: str) -> str:
    return f'<a class="way" href="{escape(address)}" target="_self">{escape(label)}</a>'
