"""The page of users: all users, searched, sorted and paged on the server, and the top spenders."""

import streamlit as st

from dashboard import controls
from dashboard.context import Context, address
from dashboard.download_panel import download_panel
from dashboard.queries import usage as usage_queries, users as users_queries
from dashboard.snapshot import Row
from dashboard.tables import (
    Column,
    average_column,
    count_column,
    instant_column,
    money_column,
    paged_table,
    share_column,
    table,
    text_column,
)

TOP = 50
COST_TO_SERVE = "Provider cost per charge. Unknown if no cost is known."


def show(context: Context) -> None:
    """Draw the page."""
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


def _everyone(context: Context) -> None:
    search = st.text_input(
        "User id contains", key="q", bind="query-params", placeholder="A part of the id, upper or lower case"
    )
    controls.not_applied(context.filters, "paywalls", "models", "entry_types")
    count = users_queries.count_users(context.snapshot, context.filters, search)
    paged_table(
        lambda page: users_queries.users(context.snapshot, context.filters, search, page),
        count,
        _columns(context),
        alt="Users",
        first="total_spend",
    )
    st.caption(
        "All-time numbers, one row for each user. Errors and new or returning are of the last 30 days. The"
        " period applies to the top spenders only."
    )
    if count:
        download_panel(
            context,
            "users",
            f"The {count:,} users above, with all columns or the ones that you choose.",
            search=search,
        )


def _columns(context: Context) -> list[Column]:
    currency = context.currency
    code = currency.upper()
    return [
        text_column("user_id", "User", link=_user),
        text_column("status", "Status"),
        text_column("payer_type", "Payer"),
        money_column("balance", f"Balance ({code})", currency),
        text_column("balance_band", "Band"),
        money_column("total_spend", f"Total spend ({code})", currency),
        money_column("total_deposits", f"Deposits ({code})", currency),
        count_column("charges", "Charges"),
        money_column("provider_cost", f"Provider cost ({code})", currency),
        money_column("profit", f"Profit ({code})", currency),
        average_column("cost_to_serve", f"Cost to serve ({code})", currency, help=COST_TO_SERVE),
        instant_column("last_activity_at", "Last activity", context.timezone),
        count_column("errors_30d", "Errors (30 days)"),
        text_column("last_error_code", "Last error"),
    ]


def _user(row: Row) -> str:
    return address("user", user=row["user_id"])


def _top_spenders(context: Context) -> None:
    currency = context.currency
    code = currency.upper()
    rows = usage_queries.top_spenders(context.snapshot, context.filters, TOP)
    columns = [
        text_column("user_id", "User", link=_user),
        money_column("revenue", f"Revenue ({code})", currency),
        money_column("provider_cost", f"Provider cost ({code})", currency),
        money_column("profit", f"Profit ({code})", currency),
        share_column("margin", "Margin"),
        average_column("cost_to_serve", f"Cost to serve ({code})", currency, help=COST_TO_SERVE),
        count_column("charges", "Charges"),
        count_column("total_tokens", "Tokens"),
        share_column("cost_coverage", "Cost coverage"),
    ]
    table(
        rows,
        columns,
        alt="Top spenders of the period",
    )
    st.caption(f"Up to {TOP} users, highest revenue first.")
    if rows:
        download_panel(
            context,
            "user_days",
            "Usage and deposits of each user by day, for the chosen period, paywalls and users.",
        )
        controls.not_applied(context.filters, "models", "entry_types")
