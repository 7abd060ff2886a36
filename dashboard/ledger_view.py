"""The ledger of all users or of one user, as a paged table with a download."""

import streamlit as st

from dashboard import formats
from dashboard.context import Context, address, link_to, user_address
from dashboard.download_panel import download_panel
from dashboard.queries import ledger as ledger_queries
from dashboard.queries.ledger import LedgerSearch
from dashboard.snapshot import Row
from dashboard.tables import Column, count_column, instant_column, money_column, paged_table, text_column

STATUSES = ("settled", "pending", "failed", "reversed")


def ledger_columns(context: Context) -> list[Column]:
    """Return the columns of ledger entries. Each amount is in its own currency."""

    def of(row: dict[str, object]) -> str:
        return str(row["currency"])

    return [
        instant_column("occurred_at", "Time", context.timezone),
        text_column("entry_id", "Entry", link=lambda row: address("entry", entry=row["entry_id"])),
        text_column("entry_type", "Type"),
        text_column("status", "Status"),
        text_column("user_id", "User", link=user_address),
        text_column("paywall_id", "Paywall"),
        text_column("model_id", "Model"),
        money_column("amount", "Amount", of),
        text_column("currency", "Currency"),
        money_column("balance_effect", "Effect on balance", of),
        Column("provider_cost", "Provider cost", _cost, right=True),
        text_column("provider_cost_basis", "Cost basis"),
        money_column("platform_fees", "Fees", of),
        count_column("total_tokens", "Tokens"),
        text_column("request_id", "Request"),
    ]


def _cost(row: Row) -> str:
    """Return the provider cost of an entry, with its currency if that is not the entry's."""
    currency = row["provider_cost_currency"]
    shown = formats.money if currency == row["currency"] else formats.with_currency
    return shown(row["provider_cost"], currency)


def ledger_view(context: Context, user_id: str | None = None, any_id: str = "") -> None:
    """Draw the filtered ledger, of one user if `user_id` is given, or of one id if `any_id` is."""
    statuses: list[str] = []
    if not any_id:
        statuses = st.multiselect(
            "Entry status", STATUSES, key="entry_status", bind="query-params", placeholder="All"
        )
    search = LedgerSearch(user_id, tuple(statuses), any_id)
    count = ledger_queries.count_ledger(context.snapshot, context.filters, search)
    if any_id and not count:
        _not_found(context, any_id)
        return
    paged_table(
        lambda page: ledger_queries.ledger(context.snapshot, context.filters, search, page),
        count,
        [column for column in ledger_columns(context) if user_id is None or column.name != "user_id"],
        alt="Ledger entries",
        first="occurred_at",
    )
    if count and not any_id:
        more: dict[str, str | list[str]] = {"entry_status": statuses}
        if user_id is not None:
            more["user"] = user_id
        entries = formats.counted(count, "entry", "entries")
        download_panel(
            context, "ledger", f"The {entries} above, with all columns or the ones that you choose.", **more
        )


def _not_found(context: Context, any_id: str) -> None:
    """Draw what was searched for an id, and where else the id occurs."""
    about = context.about
    currencies = ", ".join(currency.upper() for currency in about.ledger_currencies)
    st.info(
        "No ledger entry has this id as its own, or as that of its request, user, related entry or"
        f" payment. Searched: all entries, from {formats.day(about.first_day)} to"
        f" {formats.day(about.last_day)}, in every currency ({currencies}). An id has to be complete, with"
        " upper and lower case as written.",
        icon=":material/search_off:",
    )
    found = ledger_queries.elsewhere(context.snapshot, any_id)
    if found["user_id"] is not None:
        link_to("user", "A user without entries has this id", user=any_id)
    for case_id in found["case_ids"]:
        link_to("case", f"Reconciliation case {case_id}", case=case_id)
    if found["errors"]:
        st.caption(f"The id is that of {formats.counted(found['errors'], 'error')} without a ledger entry.")
    link_to("users", "Search for a part of a user id", q=any_id)
