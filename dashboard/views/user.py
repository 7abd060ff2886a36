"""The page of a user: status, balances, ledger and errors, and the links that support sends."""

from urllib.parse import quote

import streamlit as st

from dashboard import charts, controls, coverage, formats
from dashboard.chart_links import ledger_of_days, period_parameters
from dashboard.chart_panel import chart_panel
from dashboard.context import Context, address, link_to
from dashboard.copying import copyable
from dashboard.download_panel import download_panel
from dashboard.error_help import error_columns
from dashboard.ledger_view import ledger_view
from dashboard.queries import publication as publication_queries, users as users_queries
from dashboard.snapshot import Row
from dashboard.steps import steps_of
from dashboard.subject import subject
from dashboard.tables import (
    count_column,
    day_column,
    fields,
    folded_table,
    money_column,
    share_column,
    table,
    text_column,
)
from dashboard.tiles import Tile, tiles
from dashboard.views.connection import user_facts

ERRORS = 20


def show(context: Context) -> None:
    """Draw the page of the user in the address."""
    row = subject(context, "user", "User", users_queries.user, "Search for it on the users page.", "users")
    if row is None:
        return
    user_id = row["user_id"]
    controls.not_applied(context.filters, *controls.USER_LISTS)
    # The page is about this user, also if the filters about users leave the user out.
    context = context.without_user_filters()
    _ask_ahead(context, user_id)
    wallets = users_queries.wallets(context.snapshot, user_id)
    _facts(context, row)
    left, right = st.columns([3, 2])
    with left:
        _balance(context, user_id, wallets)
    with right:
        _connection(context, row)
        _links(context, user_id, wallets)
    _by_model(context, user_id)
    _error_rate(context, user_id)
    st.subheader("Errors in the period", anchor=False)
    errors = users_queries.user_errors(context.snapshot, user_id, context.filters, ERRORS)
    table(errors, error_columns(context, errors), alt="Recent errors")
    if len(errors) == ERRORS:
        st.caption(f"The latest {ERRORS} errors.")
    if errors:
        download_panel(context, "usage_errors", "All errors of the user in the period.", user=user_id)
    st.subheader("Ledger", anchor=False)
    ledger_view(context, user_id)


def _ask_ahead(context: Context, user_id: str) -> None:
    """Begin the queries of the page that take longest."""
    filters, grain = context.filters, controls.readable_grain(context.filters)
    ask = context.snapshot.ahead
    ask(lambda snapshot: users_queries.user_reports(snapshot, user_id))
    ask(lambda snapshot: users_queries.usage_by_model(snapshot, user_id, filters))
    ask(lambda snapshot: users_queries.error_rates(snapshot, user_id, filters, grain))
    ask(lambda snapshot: users_queries.user_errors(snapshot, user_id, filters, ERRORS))


def _facts(context: Context, row: Row) -> None:
    zone = context.timezone
    st.markdown(
        f"Status **{formats.plain(row['status'])}** · first seen"
        f" {formats.marked_instant(row['first_seen_at'], zone)} · last activity"
        f" {formats.marked_instant(row['last_activity_at'], zone)} · first deposit"
        f" {formats.marked_instant(row['first_deposit_at'], zone)} · first charge"
        f" {formats.marked_instant(row['first_charge_at'], zone)}"
        + (f" · cohort {row['cohort_month']:%Y-%m}" if row["cohort_month"] else "")
    )
    for report in users_queries.user_reports(context.snapshot, row["user_id"]):
        currency = report["currency"]
        unknown_cost = _unknown_cost(report)
        money = [
            ("Balance", "balance", f"Band: {report['balance_band']}."),
            ("Total spend", "total_spend", "Settled charges, all time."),
            ("Deposits", "total_deposits", "Settled top-ups, all time."),
            ("Provider cost", "provider_cost", "All time, of the charges whose cost is known."),
            ("Profit", "profit", f"All time. {unknown_cost}".rstrip()),
        ]
        tiles(
            [
                *(Tile(label, *_money(report, name, meaning)) for label, name, meaning in money),
                Tile(
                    "Charges",
                    formats.whole(report["charges"]),
                    f"Payer: {report['payer_type']} (last 30 days).",
                ),
            ]
        )
        if unknown_cost:
            st.caption(f":material/info: {currency.upper()}: {unknown_cost}")


def _money(report: Row, name: str, meaning: str) -> tuple[str, str]:
    """Return the rounded text of an amount, and its explanation with the exact amount."""
    if name in ("provider_cost", "profit") and coverage.is_unknown(report):
        return formats.NOTHING, meaning
    currency = report["currency"]
    at_most = coverage.AT_MOST if name == "profit" and coverage.is_incomplete(report) else ""
    exact = formats.plain(formats.with_currency(report[name], currency))
    return at_most + formats.short_with_currency(report[name], currency), f"{at_most}{exact}. {meaning}"


def _unknown_cost(report: Row) -> str:
    """Return what unknown costs mean for the profit, an empty text if all costs are known."""
    if not report["charges_without_cost"]:
        return ""
    share = formats.share(report["cost_coverage"])
    if coverage.is_unknown(report):
        return "No cost is known, so that there is no profit to show."
    return f"The profit is too high, because cost coverage is {share}: the other costs are unknown."


def _connection(context: Context, row: Row) -> None:
    st.subheader("Connection", anchor=False)
    fields(user_facts(context, row), alt="Connection of the user")
    link_to("connection", "Validate the connection", user=row["user_id"])


def _by_model(context: Context, user_id: str) -> None:
    st.subheader("Usage by model in the period", anchor=False)
    currency = context.currency
    rows = users_queries.usage_by_model(context.snapshot, user_id, context.filters)
    if not rows:
        st.caption(
            f"The user has no charges in {currency.upper()} and no errors in this period. Choose a longer"
            " period, or another currency."
        )
        return
    columns = [
        text_column("model_id", "Model"),
        count_column("charges", "Charges"),
        money_column("revenue", f"Revenue ({currency.upper()})", currency),
        *coverage.cost_columns(currency),
        count_column("total_tokens", "Tokens"),
        count_column("errors", "Errors", help="Requests with an error. Errors have no currency."),
    ]
    table(rows, columns, alt="Usage by model")
    coverage.note(rows)
    download_panel(
        context,
        "user_days",
        "Usage and deposits of the user by day in the period, in all columns.",
        user=user_id,
    )


def _error_rate(context: Context, user_id: str) -> None:
    st.subheader("Error rate", anchor=False)
    controls.not_applied(context.filters, "entry_types")
    grain = controls.grain(context.filters)
    total, *rates = users_queries.error_rates(context.snapshot, user_id, context.filters, grain)
    st.markdown(
        f"**{formats.share(total['error_rate'])}** in the period: {_of_requests(total)}."
        if total["error_rate"] is not None
        else "Neither charges nor errors in the period."
    )
    st.caption(
        "Error rate: requests with an error, divided by settled charges and requests with an error. Several"
        " errors of one request count once. A charge that failed, or whose request has an error, does not"
        f" count as a charge. `{users_queries.NO_REQUEST}` is left out: the request that it refuses has an"
        " event of its own. Charges in every currency count, because errors have none."
    )
    if total["error_rate"] is None:
        return
    points = [
        charts.point(
            "Error rate",
            row["starts_on"],
            row["error_rate"],
            f"{formats.share(row['error_rate'])} ({_of_requests(row)})",
        )
        for row in rates
    ]
    steps = steps_of(context.filters, context.about, grain)
    links = {
        step.starts_on: address("user", user=user_id, **period_parameters(step.since, step.until))
        for step in steps
    }
    chart_panel(
        charts.lines(
            points,
            "Error rate",
            grain=grain,
            unit="share",
            partial={step.starts_on for step in steps if not step.is_over},
            links=links,
        ),
        points,
        f"error-rate-by-{grain}",
        f"Error rate by {grain}; the table below has the numbers",
    )
    columns = [
        day_column("starts_on", f"{grain.capitalize()} from"),
        count_column("errors", "Requests with an error"),
        count_column("charges", "Charges"),
        share_column("error_rate", "Error rate"),
    ]
    folded_table("Numbers of the error rate", rates, columns, key="error_rates", alt=f"Error rate by {grain}")


def _of_requests(row: Row) -> str:
    return f"{formats.whole(row['errors'])} of {formats.whole(row['errors'] + row['charges'])}"


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
    days = {row["date_day"] for row in balances}
    links = ledger_of_days(days, user=user_id, currency=shown.upper())
    chart_panel(
        charts.lines(points, shown.upper(), interpolate="step-after", links=links),
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
