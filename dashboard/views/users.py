"""The page of users: all users, searched, sorted and paged on the server, and the top spenders."""

import streamlit as st

from dashboard import controls, coverage, formats
from dashboard.context import Context, link_without_filters, user_address
from dashboard.download_panel import download_panel
from dashboard.measures import MEASURES
from dashboard.queries import usage as usage_queries, users as users_queries
from dashboard.queries.paging import PageRequest
from dashboard.snapshot import Row
from dashboard.tables import (
    Column,
    average_column,
    count_column,
    instant_column,
    money_column,
    paged_table,
    table,
    text_column,
)
from dashboard.tiles import Tile, tiles

TOP = 50
COST_PER_CHARGE = "Provider cost per charge. Unknown if no cost is known."


def show(context: Context) -> None:
    """Draw the page."""
    _people(context)
    view = st.segmented_control(
        "View",
        ("everyone", "top"),
        default="everyone",
        required=True,
        key="view",
        bind="query-params",
        format_func={"everyone": "Everyone, all time", "top": "Top spenders of the period"}.__getitem__,
        label_visibility="collapsed",
    )
    if view == "top":
        _top_spenders(context)
    else:
        _everyone(context)


def _people(context: Context) -> None:
    """Draw how many people there are: in each currency alone, some are missing, and some count twice."""
    people = users_queries.people(context.snapshot, context.filters)
    everywhere = " in any currency" if len(context.about.ledger_currencies) > 1 else ""
    tiles(
        (
            Tile(
                "Users", formats.whole(people["users"]), "Everybody in the ledger or in a webhook, all time."
            ),
            Tile(
                "Active payers",
                formats.whole(people["active_payers"]),
                f"{MEASURES['active_payers'].meaning[:-1]}{everywhere}.",
            ),
            Tile("New payers", formats.whole(people["new_payers"]), MEASURES["new_payers"].meaning),
            Tile(
                "Users with credit",
                formats.whole(people["users_with_credit"]),
                "Users with a wallet above 0 at the end of the period.",
            ),
        )
    )
    if len(context.about.ledger_currencies) < 2:
        return
    st.caption("People over all currencies: everybody counts once. Payers are those of the period.")
    currencies = context.about.ledger_currencies
    rows = sorted(
        usage_queries.kpis_by_currency(context.snapshot, context.filters),
        key=lambda row: currencies.index(row["currency"]),
    )

    def of(row: Row) -> str:
        return str(row["currency"])

    columns = [
        Column("currency", "Currency", lambda row: of(row).upper()),
        money_column("revenue", "Revenue", of),
        Column("provider_cost", "Provider cost", lambda row: coverage.cost(row, of(row)), right=True),
        Column("profit", "Profit", lambda row: coverage.profit(row, of(row)), right=True),
        Column("margin", "Margin", coverage.margin, right=True),
        count_column("active_payers", "Active payers"),
        count_column("new_payers", "New payers"),
        Column("arpu", "ARPU", lambda row: formats.average(row["arpu"], of(row)), right=True),
    ]
    table(rows, columns, alt="Money and payers by currency")
    coverage.note(rows)


def _everyone(context: Context) -> None:
    # Ids are often pasted with spaces around them.
    search = st.text_input(
        "User id contains", key="q", bind="query-params", placeholder="A part of the id, upper or lower case"
    ).strip()
    controls.not_applied(context.filters, "paywalls", "models", "entry_types")
    count = users_queries.count_users(context.snapshot, context.filters, search)
    if not count:
        _nobody(context, search)
        return
    rows: list[Row] = []

    def fetch(page: PageRequest) -> list[Row]:
        rows.extend(users_queries.users(context.snapshot, context.filters, search, page))
        return rows

    users = formats.counted(count, "user")
    if search:
        verb = "has" if count == 1 else "have"
        st.caption(
            f"{users} with entries in {context.currency.upper()} {verb} {formats.plain(search)} in the id."
        )
    paged_table(fetch, count, _columns(context), alt="Users", first="total_spend")
    coverage.note(rows)
    st.caption(
        "All-time numbers, one row for each user. Errors and new or returning are of the last 30 days. The"
        " period applies to the top spenders only."
    )
    download_panel(
        context,
        "users",
        f"The {users} above, with all columns or the ones that you choose.",
        search=search,
    )


def _nobody(context: Context, search: str) -> None:
    """Draw what helps if no user matches: these numbers are of all time, so that no period does."""
    filters = context.filters
    elsewhere = users_queries.currencies_of_users(context.snapshot, search) if search else []
    others = [currency for currency in elsewhere if currency != filters.currency]
    helps = []
    if filters.limits_users:
        helps.append("Remove the filters about users in the sidebar.")
    if others:
        helps.append(f"Choose another currency: {', '.join(currency.upper() for currency in others)}.")
    if search and not elsewhere:
        helps.append("No user in any currency has this text in the id.")
    st.info(
        f"No user with entries in {filters.currency.upper()} matches. {' '.join(helps)}".rstrip(),
        icon=":material/search_off:",
    )
    link_without_filters()


def _columns(context: Context) -> list[Column]:
    currency = context.currency
    code = currency.upper()
    return [
        text_column("user_id", "User", link=user_address),
        text_column("status", "Status"),
        text_column("payer_type", "Payer"),
        money_column("balance", f"Balance ({code})", currency),
        text_column("balance_band", "Band"),
        money_column("total_spend", f"Total spend ({code})", currency),
        money_column("total_deposits", f"Deposits ({code})", currency),
        count_column("charges", "Charges"),
        Column(
            "provider_cost", f"Provider cost ({code})", lambda row: coverage.cost(row, currency), right=True
        ),
        Column("profit", f"Profit ({code})", lambda row: coverage.profit(row, currency), right=True),
        average_column("cost_to_serve", f"Cost per charge ({code})", currency, help=COST_PER_CHARGE),
        instant_column("last_activity_at", "Last activity", context.timezone),
        count_column("errors_30d", "Errors (30 days)"),
        text_column("last_error_code", "Last error"),
    ]


def _top_spenders(context: Context) -> None:
    currency = context.currency
    code = currency.upper()
    rows = usage_queries.top_spenders(context.snapshot, context.filters, TOP)
    columns = [
        text_column("user_id", "User", link=user_address),
        money_column("revenue", f"Revenue ({code})", currency),
        *coverage.cost_columns(currency),
        average_column("cost_to_serve", f"Cost per charge ({code})", currency, help=COST_PER_CHARGE),
        count_column("charges", "Charges"),
        count_column("total_tokens", "Tokens"),
    ]
    table(rows, columns, alt="Top spenders of the period")
    coverage.note(rows)
    st.caption(f"Up to {TOP} users, highest revenue first.")
    if rows:
        download_panel(
            context,
            "user_days",
            "Usage and deposits of each user by day, for the chosen period, paywalls and users.",
        )
        controls.not_applied(context.filters, "models", "entry_types")
