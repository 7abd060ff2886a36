"""The panel that offers the rows of a page as a download, with a choice of format and columns."""

import streamlit as st

from dashboard import controls
from dashboard.context import Context
from dashboard.download_tables import TABLES, USER_LISTS
from dashboard.downloads import download_address
from dashboard.queries import publication as publication_queries

FORMATS = {
    "csv": "CSV",
    "csv.gz": "CSV, compressed",
    "parquet": "Parquet",
    "jsonl": "JSON lines",
    "jsonl.gz": "JSON lines, compressed",
}


@st.fragment
def download_panel(context: Context, dataset: str, rows: str = "", **more: str | list[str]) -> None:
    """Draw the panel for one of `TABLES`, its widgets only while it is open.

    `rows` describes the rows for the user, in Markdown. `more` are further parameters of `download_address`.
    """
    table = TABLES[dataset]
    with st.expander(
        f"Download {dataset.replace('_', ' ')}",
        icon=":material/download:",
        key=f"download-{dataset}",
        on_change="rerun",
    ) as panel:
        if not panel.open:
            return
        st.markdown(rows or table.rows)
        controls.not_applied(
            context.filters,
            *(
                name
                for name in ("models", "entry_types", "paywalls", *USER_LISTS)
                if name not in table.filters
            ),
        )
        columns = publication_queries.dataset_columns(context.snapshot, table.dataset)
        left, right = st.columns([1, 4])
        with left:
            chosen_format = st.selectbox(
                "Format", list(FORMATS), format_func=FORMATS.__getitem__, key=f"format-{dataset}"
            )
        with right:
            chosen = st.multiselect(
                "Columns", columns, key=f"columns-{dataset}", placeholder="All columns, in the usual order"
            )
        address = download_address(dataset, chosen_format or "csv", context.filters, chosen, **more)
        st.link_button("Download", address, icon=":material/download:", type="primary")
        st.caption(
            "The file has exact amounts, in the order of the exports, from the warehouse that is published at"
            " that moment. Times are UTC. In CSV, text that a spreadsheet would run as a formula gets a"
            " leading apostrophe."
        )
