"""The dashboard's script, which Streamlit runs for every page and every change of a filter."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import streamlit as st
from streamlit.navigation.page import Page

from dashboard import chart_panel, controls, copying, formats, health, tables
from dashboard.context import Context, link_to_log_out
from dashboard.home import publications, settings
from dashboard.queries import publication as publication_queries
from dashboard.saved_views_panel import saved_views_panel
from dashboard.snapshot import Snapshot, UnreadableError
from dashboard.views import (
    case,
    cohorts,
    connection,
    cost_case,
    costs,
    entry,
    finance,
    growth,
    ledger,
    models,
    overview,
    reconciliation,
    runs,
    user,
    users,
)

LOOK_EVERY_SECONDS = 5
TITLE = "paywall-warehouse"
# A file, because Streamlit fetches named icons and emoji from other hosts.
ICON = Path(__file__).with_name("icon.png")

# Tiles and tables side by side move below each other where they have no room. A number is never broken.
STYLE = """<style>
[data-testid="stMetricValue"] { font-size: 1.35rem; }
:is([data-testid="stMetricValue"], [data-testid="stMetricLabel"]) :is(div, p) {
  white-space: normal; overflow: visible; overflow-wrap: break-word;
}
div:has(> [data-testid="stMetricDeltaDescription"]) { flex-wrap: wrap; }
[data-testid="stMetricDeltaDescription"] :is(div, p) { white-space: nowrap; overflow: visible; }
[data-testid="stHorizontalBlock"]:has([data-testid="stMetric"], .table) { flex-wrap: wrap; }
[data-testid="stHorizontalBlock"] > [data-testid="stColumn"]:has([data-testid="stMetric"]) {
  min-width: min(11rem, calc(50% - .5rem)); flex: 1 1 11rem;
}
[data-testid="stHorizontalBlock"] > [data-testid="stColumn"]:has(.table) {
  min-width: min(18rem, 100%); flex: 1 1 18rem;
}
[data-testid="stMainBlockContainer"] { padding-top: 4rem; }
a.way { color: inherit; overflow-wrap: anywhere; }
@media (max-width: 640px) {
  [data-testid="stHorizontalBlock"]:has([data-testid="stMetric"]) { gap: .5rem; }
  [data-testid="stHorizontalBlock"] > [data-testid="stColumn"]:has([data-testid="stMetric"]) {
    min-width: calc(50% - .5rem) !important; flex-basis: calc(50% - .5rem) !important;
  }
  [data-testid="stMainBlockContainer"] { padding-left: 1rem; padding-right: 1rem; }
  [data-testid="stMetric"] { padding: .5rem .75rem; }
}
[data-testid="stMetricLabel"] a { color: inherit; }
</style>
<script data-of="tiles">
// Streamlit opens links in Markdown in another window. Those of tiles lead to another page of the dashboard.
window.tiles ||= document.addEventListener('click', (event) => {
  const link = event.target.closest('[data-testid=stMetricLabel] a');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  location.assign(link.href);
}, true) ?? true;
</script>"""


PAGES = (
    (overview.show, "overview", "Overview", "monitoring"),
    (models.show, "models", "Models", "smart_toy"),
    (cohorts.show, "cohorts", "Cohorts", "grid_on"),
    (growth.show, "growth", "Growth", "trending_up"),
    (users.show, "users", "Users", "group"),
    (ledger.show, "ledger", "Ledger", "receipt_long"),
    (reconciliation.show, "reconciliation", "Reconciliation", "rule"),
    (costs.show, "costs", "Costs", "price_check"),
    (finance.show, "finance", "Finance", "account_balance"),
    (connection.show, "connection", "Connection", "cable"),
    (runs.show, "runs", "Runs", "history"),
)
PAGES_OF_ONE_THING = (
    (user.show, "user", "User", "person"),
    (entry.show, "entry", "Entry", "receipt"),
    (case.show, "case", "Case", "balance"),
    (cost_case.show, "costcase", "Cost case", "balance"),
)


# The pages that show something for a ledger without entries.
WITHOUT_LEDGER = ("reconciliation", "case", "costs", "costcase", "runs", "connection")


def main() -> None:
    """Draw one page from one publication."""
    st.set_page_config(page_title=TITLE, page_icon=str(ICON), layout="wide")
    st.html(
        STYLE + tables.STYLE + copying.HEAD + chart_panel.HEAD + health.HEAD, unsafe_allow_javascript=True
    )
    body = st.empty()
    snapshot, fault = _published()
    identity = snapshot.identity if snapshot else None
    if st.session_state.get("shown", identity) != identity:
        # Clears the previous publication's page, so that none of it stays beside the new numbers.
        body.info("New numbers have been published.", icon=":material/refresh:")
    st.session_state["shown"] = identity
    context: Context

    def page(
        draw: Callable[[Context], None],
        name: str,
        title: str,
        icon: str,
        visibility: Literal["visible", "hidden"],
    ) -> Page:
        symbol, first = f":material/{icon}:", name == "overview"
        return st.Page(
            lambda: draw(context),
            title=title,
            icon=symbol,
            url_path=name,
            default=first,
            visibility=visibility,
        )

    # Also when nothing is published: otherwise the address would lose its page.
    pages = [
        *(page(*known, "visible") for known in PAGES),
        *(page(*known, "hidden") for known in PAGES_OF_ONE_THING),
    ]
    chosen = st.navigation(pages, position="top")
    st.set_page_config(page_title=f"{chosen.title} · {TITLE}")
    # A fragment also runs with the script. Without this flag, a page without data would rerun for ever.
    st.session_state["watching"] = False
    _watch()
    st.session_state["watching"] = True
    about = publication_queries.about(snapshot) if snapshot else None
    if snapshot is None or about is None:
        with body.container():
            _no_data(fault)
        return
    filters, problems = controls.filters_from_sidebar(snapshot, about)
    with st.sidebar:
        saved_views_panel(settings().home, chosen.url_path)
        if settings().dashboard_password is not None:
            link_to_log_out()
    context = Context(settings(), snapshot, about, filters)
    with body.container():
        st.caption(
            f"{controls.described(filters, about)} · times in {formats.plain(context.timezone)} · published "
            f"{formats.marked_instant(about.published_at, context.timezone)}"
        )
        for problem in problems:
            st.warning(formats.plain(problem), icon=":material/link_off:")
        if about.is_empty and chosen.url_path not in WITHOUT_LEDGER:
            st.info(
                "The published ledger has no entries yet. Land a ledger file, then run"
                " `paywall-warehouse run`.",
                icon=":material/inbox:",
            )
            return
        chosen.run()


def _published() -> tuple[Snapshot | None, UnreadableError | None]:
    try:
        return publications().current(), None
    except UnreadableError as error:
        return None, error


def _no_data(fault: UnreadableError | None) -> None:
    if fault is not None:
        st.error(
            "The published file cannot be read. The dashboard retries every few seconds.",
            icon=":material/error:",
        )
        st.text(str(fault))
    else:
        st.info(
            "Nothing has been published yet. `paywall-warehouse run` publishes; then this page updates.",
            icon=":material/hourglass_empty:",
        )
        st.text(f"Looked for: {settings().home.published_file}")


@st.fragment(run_every=LOOK_EVERY_SECONDS)
def _watch() -> None:
    """Rerun the page when a new file is published."""
    if st.session_state["watching"] and publications().identity() != st.session_state.get("shown"):
        st.rerun(scope="app")


main()
