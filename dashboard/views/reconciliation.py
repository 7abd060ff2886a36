"""The page of reconciliation: the money at risk, the cases, the balance roll-forward, and payouts."""

from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode

import streamlit as st

from dashboard import controls, formats
from dashboard.address_check import AddressCheck
from dashboard.break_help import WORDS, has_suggestion, help_for, words_for, words_of
from dashboard.break_panels import count_breaks, help_panel, tiles, verdict
from dashboard.context import Context, address, user_address
from dashboard.download_panel import download_panel
from dashboard.queries import reconciliation as reconciliation_queries
from dashboard.queries.reconciliation import STATUSES, CaseSearch
from dashboard.snapshot import Row
from dashboard.tables import (
    Column,
    count_column,
    day_column,
    instant_column,
    money_column,
    paged_table,
    table,
    text_column,
)
from warehouse.reconciliation_summary import Reconciliation

CODES = {words: code for code, words in WORDS.items()}
LISTED_CURRENCIES = 6


def show(context: Context) -> None:
    """Draw the page."""
    state = reconciliation_queries.state(context.snapshot)
    _headline(context, state)
    _open_breaks(context)
    _cases(context)
    _sources(context, state)
    _rollforward(context)
    _payouts(context)
    _balances(context)


def _headline(context: Context, state: Reconciliation) -> None:
    if not state.is_needed:
        st.info(
            "Nothing to reconcile yet: no payments have landed, and no deposit needs one. Payments come from"
            " Stripe's reports, or from files in `payments/`.",
            icon=":material/info:",
        )
        return
    verdict(
        state.breaks,
        incomplete="No open breaks among the cases that could be compared, but not everything could be."
        if state.gaps
        else None,
        complete="No open breaks, and the data of every source are there and reach far enough.",
    )
    if state.gaps:
        gaps = "".join(f"<li>{escape(gap.describe())}</li>" for gap in state.gaps)
        st.html(f"<p><strong>Reconciliation is incomplete.</strong> Not compared yet:</p><ul>{gaps}</ul>")
    st.caption(
        f"{formats.counted(state.cases, 'case')} in all currencies: {state.matched:,} matched,"
        f" {count_breaks(state.breaks):,} with a break,"
        f" {state.pending:,} pending. The filters do not limit these numbers."
    )


def _open_breaks(context: Context) -> None:
    rows = reconciliation_queries.open_breaks(context.snapshot, list(WORDS))
    if not rows:
        return
    st.subheader("Money at risk in open breaks", anchor=False)
    st.caption(
        "The amount paid in each case, or the amount credited if none was paid. All currencies and days;"
        " currencies are never added together."
    )
    tiles(reconciliation_queries.at_risk(context.snapshot), _metric)
    columns = [
        count_column("priority", "Priority"),
        Column("break_type", "Break", lambda row: words_for(row["break_type"]), link=_cases_of),
        Column("amount_at_risk", "At risk", _amount, right=True),
        Column("currency_at_risk", "Currency", lambda row: _currency(row["currency_at_risk"])),
        count_column("cases", "Cases"),
        count_column("up_to_7_days", "< 7 days"),
        count_column("up_to_30_days", "7–29 days"),
        count_column("older", "≥ 30 days"),
        count_column("oldest_days", "Oldest (days)"),
        text_column("break_type", "Code"),
    ]
    table(rows, columns, alt="Open breaks by type")
    help_panel(rows, words_for, help_for, "break_help")


def _metric(row: Row) -> None:
    code = row["currency_at_risk"]
    label = "At risk, unknown currency" if code is None else f"At risk in {code.upper()}"
    st.metric(label, _amount(row), border=True)


def _currency(code: str | None) -> str:
    return formats.NOTHING if code is None else code.upper()


def _amount(row: Row) -> str:
    """Return the amount at risk, and how many cases it leaves out because theirs is unknown."""
    amount = formats.money(row["amount_at_risk"], row["currency_at_risk"])
    unknown = row["of_unknown_amount"]
    return f"{amount} + {unknown:,} unknown" if unknown else amount


def _cases_of(row: Row) -> str:
    """Return the address of the open cases of a type and currency, without other filters."""
    currency = row["currency_at_risk"]
    limited = {"all_currencies": "true"} if currency is None else {"currency": currency.upper()}
    return _address(case_status="break", break_type=words_for(row["break_type"]), **limited)


def _address(**parameters: str) -> str:
    return f"reconciliation?{urlencode(parameters, errors='replace')}"


def _cases(context: Context) -> None:
    st.subheader("Cases", anchor=False)
    _check_address()
    left, middle, right = st.columns([2, 3, 2], vertical_alignment="bottom")
    statuses = left.multiselect(
        "Case status", STATUSES, ["break"], key="case_status", bind="query-params", placeholder="All"
    )
    words = middle.multiselect("Break", list(CODES), key="break_type", bind="query-params", placeholder="All")
    with right:
        all_currencies = st.toggle(
            "All currencies",
            False,
            key="all_currencies",
            bind="query-params",
            help="Otherwise, only cases with the sidebar's currency on either side.",
        )
        in_period = st.toggle(
            "Only cases of the period",
            False,
            key="of_period",
            bind="query-params",
            help="By the first event of the case. Otherwise, the cases of all periods.",
        )
    search = CaseSearch(
        tuple(statuses),
        tuple(CODES[one] for one in words),
        in_period=in_period,
        all_currencies=all_currencies,
    )
    _outside(context, search)
    counts = reconciliation_queries.case_counts(context.snapshot, context.filters, search)
    paged_table(
        lambda page: reconciliation_queries.cases(context.snapshot, context.filters, search, page),
        sum(counts.values()),
        _case_columns(context),
        alt="Reconciliation cases",
        prefix="case_",
        first="priority",
        descending=False,
    )
    if all_currencies:
        st.caption("Amounts of different currencies are in the order of their numbers.")
    controls.not_applied(context.filters, "models", "entry_types")
    download_panel(
        context,
        "reconciliation",
        case_status=statuses,
        break_type=list(search.break_types),
        all_currencies="true" if all_currencies else "",
        of_period="true" if in_period else "",
    )


def _check_address() -> None:
    """Accept the codes of breaks in the address, where the list writes words, and report unknown values."""
    given = st.query_params.get_all("break_type")
    words = [WORDS.get(one, one) for one in given]
    if words != given:
        st.query_params["break_type"] = words
        st.session_state["break_type"] = [one for one in words if one in CODES]
    check = AddressCheck({"break_type": words, "case_status": st.query_params.get_all("case_status")})
    check.check("break_type", "The break", (*CODES, ""), "it is left out of the filter")
    # An empty value means all.
    check.check("case_status", "The case status", (*STATUSES, ""), "it is left out of the filter")
    for problem in check.problems:
        st.warning(formats.plain(problem), icon=":material/link_off:")


def _outside(context: Context, search: CaseSearch) -> None:
    """Report the breaks of priority 1 that the filters exclude, with a link that shows them."""
    rows = reconciliation_queries.urgent_outside(context.snapshot, context.filters, search)
    if not rows:
        return
    count = sum(row["cases"] for row in rows)
    amounts = [
        formats.with_currency(row["amount_at_risk"], row["currency_at_risk"])
        for row in rows[:LISTED_CURRENCIES]
    ]
    more = [f"{len(rows) - LISTED_CURRENCIES} more currencies"] if len(rows) > LISTED_CURRENCIES else []
    verb = "is" if count == 1 else "are"
    link = escape(_address(all_currencies="true"))
    st.html(
        f'<p role="status"><strong>{formats.counted(count, "break")} of priority 1 {verb} outside the'
        " filters</strong>"
        f" ({escape(', '.join([*amounts, *more]))})."
        f' <a class="way" href="{link}" target="_self">Show all open breaks</a></p>'
    )


def _case_columns(context: Context) -> Sequence[Column]:
    return [
        count_column("priority", "Priority"),
        Column("break_type", "Break", words_of),
        _with_currency("amount_at_risk", "At risk", "currency_at_risk"),
        text_column("case_id", "Case", link=lambda row: address("case", case=row["case_id"])),
        count_column("age_days", "Age (days)"),
        text_column("user_id", "User", link=user_address),
        _with_currency("ledger_amount", "Credited", "ledger_currency"),
        _with_currency("paid_amount", "Paid", "paid_currency"),
        money_column("difference", "Difference", lambda row: row["ledger_currency"] or row["paid_currency"]),
        Column("match_method", "Matched by", _matched_by),
        instant_column("first_event_at", "First event", context.timezone),
        text_column("status", "Status"),
        text_column("rail", "Rail"),
    ]


def _with_currency(name: str, label: str, currency: str) -> Column:
    return Column(name, label, lambda row: formats.with_currency(row[name], row[currency]), right=True)


def _matched_by(row: Row) -> str:
    return "suggested deposit" if has_suggestion(row) else formats.text(row["match_method"])


def _sources(context: Context, state: Reconciliation) -> None:
    if not state.sources:
        return
    with st.expander("Sources of the comparison", expanded=bool(state.gaps), key="sources"):
        columns = [
            text_column("rail", "Rail"),
            text_column("source", "Source"),
            text_column("account_id", "Account"),
            count_column("records", "Records"),
            instant_column("data_until", "Data until", context.timezone),
            text_column("verdict", "Verdict"),
        ]
        table(reconciliation_queries.sources(context.snapshot), columns, alt="Sources of reconciliation")


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
    rows = reconciliation_queries.rollforward(context.snapshot, context.filters, grain)
    if not rows:
        st.info(
            f"No balance in {currency.upper()} in this period. Deposits and charges of the ledger fill this"
            " table.",
            icon=":material/inbox:",
        )
        return
    table(rows, columns, alt="Balance roll-forward")
    controls.not_applied(context.filters, "paywalls", "models", "entry_types", *controls.USER_LISTS)
    download_panel(context, "balance_rollforward")


def _payouts(context: Context) -> None:
    currency = context.currency
    st.subheader("Payouts", anchor=False)
    off = reconciliation_queries.payouts_that_differ(context.snapshot)
    if off:
        listed = ", ".join(f"{row['payouts']:,} in {_currency(row['currency'])}" for row in off)
        st.warning(
            f"Payouts that do not equal the sum of their items, on all days: {formats.plain(listed)}.",
            icon=":material/warning:",
        )
    rows = reconciliation_queries.payouts(context.snapshot, context.filters)
    if not rows:
        st.info(
            f"No payout in {currency.upper()} arrives in this period. Stripe's report `payouts.itemized`,"
            " which a run pulls if it has `STRIPE_API_KEY`, fills this table.",
            icon=":material/inbox:",
        )
        return
    columns = [
        Column("verdict", "Adds up", _adds_up),
        money_column("difference", "Difference", currency),
        day_column("arrival_date", "Arrives"),
        text_column("status", "Status"),
        money_column("amount", f"Amount ({currency.upper()})", currency),
        count_column("items", "Items"),
        money_column("items_net", "Sum of items", currency),
        text_column("payout_id", "Payout"),
    ]
    table(rows, columns, alt="Payouts of the period")
    download_panel(context, "payouts")


def _adds_up(row: Row) -> str:
    words = {
        "adds up": "yes",
        "no items": "no items (manual?)",
        "payout not loaded": "⚠ payout not loaded",
        "differs": "⚠ no",
    }
    return words[row["verdict"]]


def _balances(context: Context) -> None:
    currency, zone = context.currency, context.timezone
    st.subheader("Stripe's balance summaries", anchor=False)
    rows = reconciliation_queries.stripe_balances(context.snapshot, context.filters)
    if not rows:
        st.info(
            f"No balance summary in {currency.upper()}. Stripe's report `balance.summary`, which a run pulls"
            " if it has `STRIPE_API_KEY`, fills this table.",
            icon=":material/inbox:",
        )
        return
    off = sum(bool(row["is_off"]) for row in rows)
    if off:
        st.warning(
            f"{formats.counted(off, 'summary', 'summaries')} with a difference. See “When Stripe's reports"
            " disagree” in docs/reconciliation.md.",
            icon=":material/warning:",
        )
    columns = [
        Column("is_off", "Agrees", lambda row: "⚠ no" if row["is_off"] else "yes"),
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
    table(rows, columns, alt="Stripe's balance summaries")
    download_panel(context, "stripe_balances")
