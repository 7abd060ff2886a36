"""The context of a page: the publication, the filters, and links to other pages that keep the filters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from urllib.parse import urlencode

import streamlit as st

from dashboard.filters import OF_ENTRIES, OF_USERS, Filters
from dashboard.queries.publication import About
from dashboard.snapshot import Row, Snapshot
from paywall_warehouse.settings import Settings

# The parameters of the address that every page keeps.
KEPT = ("period", "days", "compare", "currency", *(parameter for parameter, *_ in (*OF_ENTRIES, *OF_USERS)))


@dataclass(frozen=True)
class Context:
    """The context of one page, which shows one publication."""

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

    def without_user_filters(self) -> "Context":
        """Return the context of a page about one user, whom filters about users must not leave out."""
        everybody = replace(self.filters, user_statuses=(), balance_bands=(), payer_types=())
        return replace(self, filters=everybody)


def link_to(page: str, label: str, **parameters: str) -> None:
    """Draw a link to another page with the filters of this one. `label` may be any text."""
    st.html(_anchor(address(page, **parameters), label))


def link_to_view(address: str, label: str) -> None:
    """Draw a link to a saved view."""
    st.html(_anchor(address, label))


def link_without_filters() -> None:
    """Draw a link to this page without parameters."""
    st.html(_anchor("?", "Clear all filters"))


def link_to_log_out() -> None:
    """Draw a link that ends the session."""
    st.html(_anchor("logout", "Log out"))


def address(page: str, **parameters: str | list[str]) -> str:
    """Return the address of a page, with the filters of this one.

    It is relative, because a proxy may serve the dashboard under any path.
    """
    return address_with(kept_parameters(), page, **parameters)


def kept_parameters() -> dict[str, list[str]]:
    """Return the parameters of this page that its links keep. For many links they are read once."""
    # Streamlit looks for a newer request of the browser whenever a parameter is read.
    present = set(st.query_params)
    return {name: st.query_params.get_all(name) for name in KEPT if name in present}


def address_with(kept: Mapping[str, list[str]], page: str, **parameters: str | list[str]) -> str:
    """Return `address`, with the parameters that are kept."""
    merged = dict(kept) | {
        name: [value] if isinstance(value, str) else value for name, value in parameters.items()
    }
    # The first page has no name: `./` leads to it from every other one.
    return f"{page or './'}?{urlencode(merged, doseq=True, errors='replace')}"


def user_address(row: Row) -> str | None:
    """Return the address of the page of a row's user, None if the row has no user."""
    return None if row["user_id"] is None else address("user", user=row["user_id"])


def same_page(**changes: str | None) -> str:
    """Return the address of this page with other values of some parameters. None removes one."""
    kept = {name: st.query_params.get_all(name) for name in st.query_params if name not in changes}
    merged = kept | {name: [value] for name, value in changes.items() if value is not None}
    return f"?{urlencode(merged, doseq=True, errors='replace')}"


# Streamlit's own links do not do. A link to the same page leaves the address unchanged. `st.switch_page`
# takes no parameter that belongs to a widget, and leaves a wrong address on the way back. The link button
# opens another window.
def _anchor(address: str, label: str) -> str:
    return f'<a class="way" href="{escape(address)}" target="_self">{escape(label)}</a>'
