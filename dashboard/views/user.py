"""The page of a user: status, balances, ledger and errors, and the links that support sends."""

from urllib.parse import quote

import streamlit as st

from dashboard import charts, formats
from dashboard.chart_panel import chart_panel
from dashboard.context import Context
from dashboard.copying import copyable
from dashboard.error_help import error_columns
from dashboard.ledger_view import ledger_view
from dashboard.queries import publication as publication_queries, users as users_queries
from dashboard.snapshot import Row
from dashboard.subject import subject
from dashboard.tables import day_column, folded_table, money_column, table, text_column

ERRORS = 20


def show(context: Context) -> None:
    """Draw the page of the user in the address."""
    row = subject(context, "user", "User", users_queries.user, "Search for it on the users page.", "users")
    if row is None:
        return
    user_id = row["user_id"]
    wallets = users_queries.wallets(context.snapshot, user_id)
    _facts(context, row)
    left, right = st.columns([3, 2])
    with left:
        _balance(context, user_id, wallets)
    with right:
        _links(context, user_id, wallets)
    st.subheader("Errors in the period", anchor=False)
    errors = users_queries.user_errors(
        context.snapshot, user_id, context.filters.since, context.filters.until, ERRORS
    )
    table(errors, error_columns(context), alt="Recent errors")
    if len(errors) == ERRORS:
        st.caption(f"The latest {ERRORS} errors.")
    st.subheader("Ledger", anchor=False)
    ledger_view(context, user_id)


def _facts(context: Context, row: Row) -> None:
    zone = context.timezone
    st.markdown(
        f"Status **{formats.plain(row['status'])}** · first seen"
        f" {formats.instant(row['first_seen_at'], zone)} · last activity"
        f" {formats.instant(row['last_activity_at'], zone)} · first deposit"
        f" {formats.instant(row['first_deposit_at'], zone)} · first charge"
        f" {formats.instant(row['first_charge_at'], zone)}"
        + (f" · cohort {row['cohort_month']:%Y-%m}" if row["cohort_month"] else "")
    )
    for report in users_queries.user_reports(context.snapshot, row["user_id"]):
        currency = report["currency"]
        tiles = (
            (
                "Balance",
                formats.with_currency(report["balance"], currency),
                f"Band: {report['balance_band']}.",
            ),
            (
                "Total spend",
                formats.with_currency(report["total_spend"], currency),
                "Settled charges, all time.",
            ),
            (
                "Deposits",
                formats.with_currency(report["total_deposits"], currency),
                "Settled top-ups, all time.",
            ),
            (
                "Provider cost",
                formats.with_currency(report["provider_cost"], currency),
                "All time, of the charges whose cost is known.",
            ),
            ("Profit", formats.with_currency(report["profit"], currency), "All time."),
            ("Charges", formats.whole(report["charges"]), f"Payer: {report['payer_type']} (last 30 days)."),
        )
        for column, (label, value, explanation) in zip(st.columns(len(tiles)), tiles, strict=True):
            column.metric(label, value, border=True, help=explanation)


def _balance(context: Context, user_id: str, wallets: list[Row]) -> None:
    st.subheader("Balance over time", anchor=False)
    currencies = list(dict.fromkeys(wallet["currency"] for wallet in wallets))
    shown = context.currency if context.currency in currencies else next(iter(currencies), None)
    if shown is None:
        st.caption("The user has no wallet yet.")
        return
    if shown != context.currency:
        st.caption(f"Shown in {shown.upper()}, because the user has no wallet in {context.currency.upper()}.")
    balances = users_queries.wallet_balances(context.snapshot, user_id, shown, context.filters.paywalls)
    points = [
        charts.point(
            row["paywall_id"],
            row["date_day"],
            row["closing_balance"],
            formats.with_currency(row["closing_balance"], shown),
        )
        for row in balances
    ]
    chart_panel(
        charts.lines(points, shown.upper(), interpolate="step-after"),
        points,
        f"balance-{shown}",
        "Closing balance by day and paywall; the table below has the numbers",
    )
    columns = [
        day_column("date_day", "Day"),
        text_column("paywall_id", "Paywall"),
        money_column("opening_balance", f"Opening ({shown.upper()})", shown),
        money_column("closing_balance", f"Closing ({shown.upper()})", shown),
    ]
    folded_table("Numbers of the chart", balances, columns, key="numbers", alt="Balance by day")


def _links(context: Context, user_id: str, wallets: list[Row]) -> None:
    st.subheader("For support", anchor=False)
    paywalls = (
        list(dict.fromkeys(wallet["paywall_id"] for wallet in wallets))
        or publication_queries.known_paywalls(context.snapshot)[:1]
    )
    templates = {
        "Authorization link": context.settings.authorization_link,
        "Top-up link": context.settings.top_up_link,
    }
    for label, template in templates.items():
        if template is None:
            continue
        for paywall in paywalls if "{paywall_id}" in template else [""]:
            st.caption(label + (f" for {formats.plain(paywall)}" if paywall else ""))
            copyable(filled(template, user_id, paywall), label.lower())
    if not any(templates.values()):
        st.caption(
            "Set `AUTHORIZATION_LINK` and `TOP_UP_LINK` to show the links that support sends to users."
        )
    columns = [
        text_column("paywall_id", "Paywall"),
        money_column("closing_balance", "Balance", lambda wallet: wallet["currency"]),
        text_column("currency", "Currency"),
        day_column("last_movement", "Last change"),
    ]
    table(wallets, columns, alt="Wallets")


def filled(template: str, user_id: str, paywall_id: str) -> str:
    """Return a link for a user. Ids are quoted, so that none of them can change its target."""
    return template.replace("{user_id}", quote(user_id, safe="")).replace(
        "{paywall_id}", quote(paywall_id, safe="")
    )
