"""The page of reconciliation: payments against credits, the balance roll-forward, and payouts."""

import streamlit as st

from dashboard import controls, formats
from dashboard.break_help import BREAKS, help_for
from dashboard.context import Context, address, same_page
from dashboard.queries import reconciliation as reconciliation_queries
from dashboard.snapshot import Row
from dashboard.tables import (
    Column,
    count_column,
    day_column,
    folded_table,
    instant_column,
    money_column,
    paged_table,
    table,
    text_column,
)

STATUSES = ("break", "pending", "matched")


def show(context: Context) -> None:
    """Draw the page."""
    _sources(context)
    _breaks(context)
    _cases(context)
    _rollforward(context)
    _payouts(context)


def _sources(context: Context) -> None:
    rows = reconciliation_queries.sources(context.snapshot)
    incomplete = [row for row in rows if row["verdict"] != "complete"]
    if not rows:
        st.info(
            "Nothing to reconcile yet: no payments have landed, and no deposit needs one.",
            icon=":material/info:",
        )
    elif incomplete:
        st.warning(
            "Reconciliation is incomplete: payments that have not been loaded could not be compared.",
            icon=":material/warning:",
        )
    else:
        st.success(
            "Reconciliation is complete: the data of every source are there and reach far enough.",
            icon=":material/check_circle:",
        )
    with st.expander("Sources", expanded=bool(incomplete), key="sources"):
        columns = [
            text_column("rail", "Rail"),
            text_column("source", "Source"),
            text_column("account_id", "Account"),
            count_column("records", "Records"),
            instant_column("data_until", "Data until", context.timezone),
            text_column("verdict", "Verdict"),
        ]
        table(rows, columns, alt="Sources of reconciliation")


def _breaks(context: Context) -> None:
    st.subheader("Open breaks", anchor=False)
    counts = reconciliation_queries.case_counts(context.snapshot, context.filters)
    st.markdown(
        f"{formats.whole(sum(counts.values()))} cases with {context.currency.upper()} on either side:"
        f" {formats.whole(counts.get('matched', 0))} matched, **{formats.whole(counts.get('break', 0))}"
        f" breaks**, {formats.whole(counts.get('pending', 0))} pending."
    )
    rows = reconciliation_queries.breaks_by_type(context.snapshot, context.filters)
    columns = [
        count_column("priority", "Priority"),
        text_column("break_type", "Break", link=_of_type),
        count_column("cases", "Cases"),
        count_column("up_to_7_days", "Younger than 7 days"),
        count_column("up_to_30_days", "7 to 29 days"),
        count_column("older", "30 days and older"),
        count_column("oldest_days", "Oldest (days)"),
    ]
    table(rows, columns, alt="Open breaks by type")
    if rows:
        with st.expander("What the breaks mean, and what to do", key="break_help"):
            for row in rows:
                explanation = help_for(row["break_type"])
                st.markdown(
                    f"**{formats.plain(row['break_type'])}**: {explanation.meaning} {explanation.remedy}"
                )
    controls.not_applied(context.filters, "models", "entry_types")


def _of_type(row: Row) -> str:
    return same_page(break_type=row["break_type"], case_status=None, case_page=None)


def _cases(context: Context) -> None:
    st.subheader("Cases", anchor=False)
    left, middle, right = st.columns([2, 3, 2], vertical_alignment="bottom")
    statuses = left.multiselect(
        "Case status", STATUSES, ["break"], key="case_status", bind="query-params", placeholder="All"
    )
    break_types = middle.multiselect(
        "Break", list(BREAKS), key="break_type", bind="query-params", placeholder="All"
    )
    in_period = right.toggle(
        "Only cases of the period",
        False,
        key="of_period",
        bind="query-params",
        help="By the first event of the case. The table of open breaks above always shows all periods.",
    )
    count = reconciliation_queries.count_cases(
        context.snapshot, context.filters, statuses, break_types, in_period=in_period
    )
    paged_table(
        lambda page: reconciliation_queries.cases(
            context.snapshot, context.filters, statuses, break_types, page, in_period=in_period
        ),
        count,
        [
            count_column("priority", "Priority"),
            text_column("break_type", "Break"),
            text_column("status", "Status"),
            count_column("age_days", "Age (days)"),
            text_column("rail", "Rail"),
            text_column("user_id", "User"),
            money_column("ledger_amount", "Credited", lambda row: row["ledger_currency"]),
            text_column("ledger_currency", "in"),
            money_column("paid_amount", "Paid", lambda row: row["paid_currency"]),
            text_column("paid_currency", "in "),
            money_column(
                "difference", "Difference", lambda row: row["ledger_currency"] or row["paid_currency"]
            ),
            instant_column("first_event_at", "First event", context.timezone),
            text_column("case_id", "Case", link=lambda row: address("case", case=row["case_id"])),
        ],
        alt="Reconciliation cases",
        prefix="case_",
        first="age_days",
    )


def _rollforward(context: Context) -> None:
    st.subheader("Balance roll-forward", anchor=False)
    st.caption(
        "The balances owed to all users in all paywalls, and what changed them. Charges, withdrawals and"
        " refunds of deposits reduce them."
    )
    grain = controls.grain(context.filters)
    currency = context.currency
    labels = {
        "opening_balance": "Opening",
        "deposits": "+ Deposits",
        "promo_deposits": "+ Promo deposits",
        "charged": "− Charged",
        "refunds": "+ Refunds",
        "deposit_refunds": "− Deposit refunds",
        "withdrawals": "− Withdrawals",
        "adjustments": "± Adjustments",
        "closing_balance": "= Closing",
    }
    columns = [
        day_column("starts_on", f"{grain.capitalize()} from"),
        *(money_column(name, label, currency) for name, label in labels.items()),
    ]
    table(
        reconciliation_queries.rollforward(context.snapshot, context.filters, grain),
        columns,
        alt="Balance roll-forward",
    )
    controls.not_applied(context.filters, "paywalls", "models", "entry_types", *controls.USER_LISTS)


def _payouts(context: Context) -> None:
    currency = context.currency
    st.subheader("Payouts", anchor=False)
    columns = [
        day_column("arrival_date", "Arrives"),
        text_column("status", "Status"),
        money_column("amount", f"Amount ({currency.upper()})", currency),
        count_column("items", "Items"),
        money_column("items_net", "Sum of items", currency),
        money_column("difference", "Difference", currency),
        Column(
            "is_reconciled",
            "Adds up",
            lambda row: {True: "yes", False: "no", None: formats.NOTHING}[row["is_reconciled"]],
        ),
        text_column("payout_id", "Payout"),
    ]
    table(
        reconciliation_queries.payouts(context.snapshot, context.filters),
        columns,
        alt="Payouts of the period",
    )
    balances = reconciliation_queries.stripe_balances(context.snapshot, context.filters)
    zone = context.timezone
    summary = [
        instant_column("covered_from", "From", zone),
        instant_column("covered_until", "Until", zone),
        text_column("account_id", "Account"),
        money_column("opening_balance", "Opening", currency),
        money_column("activity", "+ Activity", currency),
        money_column("payouts", "− Payouts", currency),
        money_column("closing_balance", "= Closing", currency),
        money_column("itemized_activity", "Activity, itemised", currency),
        money_column("itemized_payouts", "Payouts, itemised", currency),
        text_column("path", "File"),
    ]
    folded_table(
        "Stripe's balance summaries", balances, summary, key="balances", alt="Stripe's balance summaries"
    )
