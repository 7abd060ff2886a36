"""The dashboard's script, which Streamlit runs from top to bottom for every page and every change of a filter."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import streamlit as st
from streamlit.navigation.page import Page

from dashboard import controls, formats, queries
from dashboard.context import Context, follow
from dashboard.home import publications, settings
from dashboard.snapshot import Snapshot, UnreadableError
from dashboard.views import case, cohorts, entry, ledger, models, overview, reconciliation, runs, user, users

LOOK_EVERY_SECONDS = 5
# A file: icons by name and emoji are fetched from elsewhere.
ICON = Path(__file__).with_name("icon.png")

# Amounts are shown to their last digit: they need the room.
STYLE = """<style>
[data-testid="stMetricValue"] { font-size: 1.35rem; }
:is([data-testid="stMetricValue"], [data-testid="stMetricDeltaDescription"]) :is(div, p) {
  white-space: normal; overflow: visible; overflow-wrap: anywhere;
}
[data-testid="stMainBlockContainer"] { padding-top: 4rem; }
a.way { color: inherit; overflow-wrap: anywhere; }
</style>"""


def main() -> None:
    """One page from one publication."""
    st.set_page_config(page_title="paywall-warehouse", page_icon=str(ICON), layout="wide")
    st.html(STYLE)
    body = st.empty()
    snapshot, fault = _published()
    identity = snapshot.identity if snapshot else None
    if st.session_state.get("shown", identity) != identity:
        # Nothing of the page before stays beside what comes now.
        body.info("New numbers have been published.", icon=":material/refresh:")
    st.session_state["shown"] = identity
    # A fragment runs with the script too: where nothing can be shown, that would begin anew without end.
    st.session_state["watching"] = False
    _watch()
    st.session_state["watching"] = True
    if snapshot is None:
        _nothing_to_show(fault)
        return
    about = queries.about(snapshot)
    if about is None:
        st.info("The published ledger has no entries yet. Land some, and run `paywall-warehouse run`.", icon=":material/inbox:")
        return
    context: Context

    def page(show: Callable[[Context], None], name: str, title: str, icon: str, *, hidden: bool = False) -> Page:
        visibility: Literal["visible", "hidden"] = "hidden" if hidden else "visible"
        first = name == "overview"
        return st.Page(lambda: show(context), title=title, icon=f":material/{icon}:", url_path=name, default=first, visibility=visibility)

    pages = [
        page(overview.show, "overview", "Overview", "monitoring"),
        page(models.show, "models", "Models", "smart_toy"),
        page(cohorts.show, "cohorts", "Cohorts", "grid_on"),
        page(users.show, "users", "Users", "group"),
        page(ledger.show, "ledger", "Ledger", "receipt_long"),
        page(reconciliation.show, "reconciliation", "Reconciliation", "rule"),
        page(runs.show, "runs", "Runs", "history"),
        page(user.show, "user", "User", "person", hidden=True),
        page(entry.show, "entry", "Entry", "receipt", hidden=True),
        page(case.show, "case", "Case", "balance", hidden=True),
    ]
    chosen = st.navigation(pages, position="top")
    filters = controls.filters_from_sidebar(snapshot, about)
    context = Context(settings(), snapshot, about, filters)
    with body.container():
        follow()
        st.caption(
            f"{controls.described(filters)} · times in {formats.plain(context.timezone)} · published "
            f"{formats.instant(about.published_at, context.timezone)}"
        )
        chosen.run()


def _published() -> tuple[Snapshot | None, UnreadableError | None]:
    try:
        return publications().current(), None
    except UnreadableError as error:
        return None, error


def _nothing_to_show(fault: UnreadableError | None) -> None:
    if fault is None:
        st.info(
            "Nothing has been published yet. `paywall-warehouse run` publishes; this page notices by itself.",
            icon=":material/hourglass_empty:",
        )
        st.text(f"Looked for: {settings().home.published_file}")
    else:
        st.error("The published file cannot be read. It is tried again every few seconds.", icon=":material/error:")
        st.text(str(fault))


@st.fragment(run_every=LOOK_EVERY_SECONDS)
def _watch() -> None:
    """Show what is published anew without being asked."""
    if st.session_state["watching"] and publications().identity() != st.session_state.get("shown"):
        st.rerun(scope="app")


main()
