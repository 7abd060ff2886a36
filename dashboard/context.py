"""What every page is given: what is published, the filters, the way to other pages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import streamlit as st

from dashboard.filters import Filters
from dashboard.queries import About
from dashboard.snapshot import Snapshot
from paywall_warehouse.settings import Settings

# The parameters of the address that hold on every page.
KEPT = ("period", "days", "compare", "currency", "paywall", "model", "type", "status", "band", "payer")


@dataclass(frozen=True)
class Context:
    """One page, from one publication."""

    settings: Settings
    snapshot: Snapshot
    about: About
    filters: Filters
    pages: Mapping[str, Any] = field(repr=False)
    """Streamlit's pages by their names in addresses."""

    @property
    def currency(self) -> str:
        """The currency that is shown."""
        return self.filters.currency

    @property
    def timezone(self) -> str:
        """The reporting time zone."""
        return self.about.reporting_timezone

    def open(self, page: str, **parameters: str) -> NoReturn:
        """Go to another page with the filters of this one."""
        st.switch_page(self.pages[page], query_params=address(**parameters))

    def link(self, page: str, label: str, icon: str | None = None, **parameters: str) -> None:
        """A link to another page with the filters of this one; `label` is read as Markdown."""
        st.page_link(self.pages[page], label=label, icon=icon, query_params=address(**parameters))


def address(**parameters: str) -> dict[str, list[str]]:
    """The parameters of an address that keeps the filters of this page."""
    kept = {name: st.query_params.get_all(name) for name in KEPT if name in st.query_params}
    return kept | {name: [value] for name, value in parameters.items()}
