"""A ledger as a paged table with its download: of the whole warehouse, or of one user."""

import streamlit as st

from dashboard import queries
from dashboard.context import Context, open_page
from dashboard.download_panel import download_panel
from dashboard.queries import LedgerSearch
from dashboard.tables import Column, count_column, instant_column, money_column, paged_table, text_column

STATUSES = ("settled", "pending", "failed", "reversed")


def ledger_columns(context: Context) -> list[Column]:
    """The columns of entries, each amount in its own currency."""

    def of(row: dict[str, object]) -> str:
        return str(row["currency"])

    return [
        instant_column("occurred_at", "Time", context.timezone),
        text_column("entry_type", "Type"),
        text_column("status", "Status"),
        text_column("user_id", "User"),
        text_column("paywall_id", "Paywall"),
        text_column("model_id", "Model"),
        money_column("amount", "Amount", of),
        text_column("currency", "Currency"),
        money_column("balance_effect", "On the balance", of),
        money_column("provider_cost", "Provider cost", of),
        text_column("provider_cost_basis", "Cost is"),
        money_column("platform_fees", "Fees", of),
        count_column("total_tokens", "Tokens"),
        text_column("request_id", "Request"),
        text_column("entry_id", "Entry"),
    ]


def ledger_view(context: Context, user_id: str | None = None, any_id: str = "") -> None:
    """The ledger that the filters of the page leave, of one user if one is named."""
    statuses: list[str] = []
    if not any_id:
        statuses = st.multiselect(
            "Entry status", STATUSES, key="entry_status", bind="query-params", placeholder="All"
        )
    search = LedgerSearch(user_id, tuple(statuses), any_id)
    count = queries.count_ledger(context.snapshot, context.filters, search)
    paged_table(
        lambda cut: queries.ledger(context.snapshot, context.filters, search, cut),
        count,
        [column for column in ledger_columns(context) if user_id is None or column.name != "user_id"],
        alt="Ledger entries",
        first="occurred_at",
        opens=lambda row: open_page("entry", entry=row["entry_id"]),
    )
    if count and not any_id:
        more: dict[str, str | list[str]] = {"entry_status": statuses}
        if user_id is not None:
            more["user"] = user_id
        download_panel(
            context,
            "ledger",
            f"The {count:,} entries above, with all their columns or those that you choose.",
            **more,
        )
