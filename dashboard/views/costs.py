"""The page of costs against bills: the verdict, the money at risk, the months, and the cases."""

from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode

import streamlit as st

from dashboard import charts, controls, formats
from dashboard.address_check import AddressCheck
from dashboard.break_panels import count_breaks, help_panel, tiles, verdict
from dashboard.chart_panel import chart_panel
from dashboard.context import Context, address
from dashboard.copying import copyable
from dashboard.cost_break_help import WORDS, help_for, line_of_model, words_for
from dashboard.download_panel import download_panel
from dashboard.queries import costs as cost_queries
from dashboard.queries.costs import STATUSES, CostSearch
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
from warehouse.cost_summary import CostReconciliation

CODES = {words: code for code, words in WORDS.items()}
LISTED_CURRENCIES = 6
# The table of months has the rest.
LISTED_GAPS = 8
RECENT_MONTHS = 6
SHOWN_NAMES = 50
SIDES = {"ledger_cost": "Recorded", "billed_cost": "Billed"}
NO_BILLS = (
    "No bill has landed yet: put the cost downloads of your providers into `landing/bills/openai_costs/`,"
    " `anthropic_costs/`, `openrouter_activity/` or `focus/`, or set `OPENAI_ADMIN_KEY`,"
    " `ANTHROPIC_ADMIN_KEY` or `OPENROUTER_MANAGEMENT_KEY`, so that every run pulls them. docs/costs.md says"
    " where each provider offers its bill."
)
EARLIER_VERSION = (
    "The published file was written by an earlier version, which did not compare costs with bills."
    " `paywall-warehouse run` publishes one that does."
)


def show(context: Context) -> None:
    """Draw the page."""
    if not cost_queries.is_published(context.snapshot):
        st.info(EARLIER_VERSION, icon=":material/info:")
        return
    state = cost_queries.state(context.snapshot)
    _headline(state)
    for pull in cost_queries.failed_pulls(context.snapshot):
        at = formats.marked_instant(pull["failed_at"], context.timezone)
        st.warning(
            f"{formats.plain(pull['source'])} could not be pulled on {at}: {formats.plain(pull['reason'])}",
            icon=":material/cloud_off:",
        )
    _open_breaks(context)
    providers = _months(context)
    if state.is_needed:
        _cases(context, providers)
        _unknown_models(context)


def _headline(state: CostReconciliation) -> None:
    if not state.is_needed:
        st.info(NO_BILLS, icon=":material/info:")
        return
    verdict(
        state.breaks,
        incomplete="No open breaks among the cases that could be compared, but not every cost has a bill."
        if state.gaps or state.without_bills
        else None,
        complete="No open breaks, and bills cover all past months.",
    )
    if state.gaps or state.without_bills:
        listed = [gap.describe() for gap in state.gaps[:LISTED_GAPS]]
        if len(state.gaps) > LISTED_GAPS:
            listed.append(f"{len(state.gaps) - LISTED_GAPS} more in the table of months")
        listed += filter(None, [state.not_compared])
        gaps = "".join(f"<li>{escape(gap)}</li>" for gap in listed)
        st.html(f"<p><strong>Not all costs are compared.</strong> Missing:</p><ul>{gaps}</ul>")
    st.caption(
        f"{formats.counted(state.cases, 'case')} in all currencies: {state.matched:,} matched,"
        f" {count_breaks(state.breaks):,} with a break, {state.pending:,} pending. A case is one"
        " provider, UTC day, model and currency. The filters do not limit these numbers."
    )


def _open_breaks(context: Context) -> None:
    rows = cost_queries.open_breaks(context.snapshot, list(WORDS))
    if not rows:
        return
    st.subheader("Money at risk in open breaks", anchor=False)
    st.caption(
        "How far the bill is from the ledger in each case, above or below; the whole bill if the ledger has"
        " no cost. All currencies and days; currencies are never added together."
    )
    tiles(cost_queries.at_risk(context.snapshot), _metric)
    columns = [
        count_column("priority", "Priority"),
        Column(
            "break_type",
            "Break",
            lambda row: words_for(row["break_type"]),
            unbroken=True,
            link=lambda row: _cases_of(context, row),
        ),
        money_column("at_risk", "At risk", _currency_of),
        money_column("difference", "Billed − recorded", _currency_of),
        _currency_column(),
        count_column("cases", "Cases"),
        count_column("providers", "Providers"),
        day_column("oldest_day", "Oldest day (UTC)"),
        text_column("break_type", "Code"),
    ]
    table(rows, columns, alt="Open cost breaks by type")
    help_panel(rows, words_for, help_for, "cost_break_help")


def _metric(row: Row) -> None:
    currency = row["currency"]
    st.metric(
        f"At risk in {currency.upper()}",
        formats.short_money(row["at_risk"], currency),
        border=True,
        help=formats.plain(f"Exactly {formats.with_currency(row['at_risk'], currency)}."),
    )


def _currency_of(row: Row) -> str:
    return str(row["currency"])


def _currency_column() -> Column:
    return Column("currency", "Currency", lambda row: row["currency"].upper())


def _cases_of(context: Context, row: Row) -> str:
    """Return the address of the open cases of a type and currency, without other filters."""
    return _address(context, row["currency"], cost_status="break", cost_break=words_for(row["break_type"]))


def _cases_of_month(context: Context, row: Row) -> str:
    """Return the address of all cases of a provider's month and currency, without other filters."""
    month = f"{row['month_start']:%Y-%m}"
    return _address(context, row["currency"], provider=row["provider"], month=month, cost_status="")


def _address(context: Context, currency: str, **parameters: str) -> str:
    # The sidebar offers only the currencies of the ledger and of payments.
    limited = (
        {"currency": currency.upper()} if currency in context.about.currencies else {"all_currencies": "true"}
    )
    return f"costs?{urlencode(limited | parameters, errors='replace')}"


def _months(context: Context) -> list[str]:
    """Draw the months, and return the providers that were chosen."""
    known = cost_queries.known_providers(context.snapshot)
    if not known:
        return []
    st.subheader("Billed beside recorded, by month", anchor=False)
    _check_address(context, known)
    providers = st.multiselect(
        "Provider",
        known,
        key="provider",
        bind="query-params",
        placeholder="All",
        help="Limits the months, the chart and the cases below.",
    )
    rows = cost_queries.months(context.snapshot, providers)
    _chart(context, providers)
    columns = [
        Column(
            "month_start",
            "Month (UTC)",
            lambda row: f"{row['month_start']:%Y-%m}",
            unbroken=True,
            link=lambda row: _cases_of_month(context, row),
        ),
        text_column("provider", "Provider"),
        _currency_column(),
        Column("verdict", "Verdict", _verdict, unbroken=True),
        Column(
            "days_compared",
            "Days compared",
            lambda row: f"{row['days_compared']} of {row['days']}",
            unbroken=True,
        ),
        money_column("ledger_cost", "Recorded", _currency_of, help="What the ledger has in compared cases."),
        money_column("billed_cost", "Billed", _currency_of, help="The compared bill lines of these cases."),
        money_column("difference", "Billed − recorded", _currency_of),
        money_column("invoiced_amount", "Invoiced", _currency_of),
        money_column(
            "invoice_difference",
            "Bill lines − invoiced",
            _currency_of,
            help="Bill lines of every kind, also taxes, credits and usage that is not sold.",
        ),
    ]
    starts = sorted({row["month_start"] for row in rows}, reverse=True)
    recent = [row for row in rows if row["month_start"] in starts[:RECENT_MONTHS]]
    table(recent, columns, alt="Months of costs")
    if len(recent) < len(rows):
        earlier = rows[len(recent) :]
        number = formats.counted(len(starts) - RECENT_MONTHS, "earlier month")
        folded_table(
            number.capitalize(), earlier, columns, key="earlier_months", alt="Earlier months of costs"
        )
    st.caption(
        "Recorded and billed are those of compared cases. Complete: bills cover every day, and no case is"
        " pending. Partial: some days are not compared. Missing: no bill has landed for the month."
    )
    download_panel(context, "cost_months", provider=providers)
    return providers


def _verdict(row: Row) -> str:
    return str(row["verdict"]) if row["verdict"] == "complete" else f"⚠ {row['verdict']}"


def _chart(context: Context, providers: Sequence[str]) -> None:
    currency = context.currency
    rows = cost_queries.month_sums(context.snapshot, providers, currency)
    if not rows:
        st.caption(f"No month has a cost in {currency.upper()}: the table has the other currencies.")
        return
    code = currency.upper()
    steps = [
        {
            "name": charts.day_label(row["starts_on"], "month"),
            "said": charts.day_label(row["starts_on"], "month"),
            "amounts": [row[column] for column in SIDES],
            "texts": [formats.with_currency(row[column], currency) for column in SIDES],
            "notes": {
                "Billed − recorded": formats.with_currency(row["difference"], currency),
                "Compared": "completely" if row["is_complete"] else "in part",
            },
            "is_whole": row["is_complete"],
            "link": _address(context, currency, month=f"{row['starts_on']:%Y-%m}", cost_status=""),
        }
        for row in rows
    ]
    chart_panel(
        charts.grouped_bars(steps, list(SIDES.values()), code),
        rows,
        f"billed-beside-recorded-{currency}",
        "Billed beside recorded cost by month; the table below has the numbers",
    )
    if not all(row["is_complete"] for row in rows):
        st.caption(
            "Pale bars: not every day of the month is compared. Providers that have not billed are left out."
        )


def _check_address(context: Context, providers: Sequence[str]) -> None:
    """Accept the codes of breaks in the address, where the list writes words, and report unknown values."""
    given = st.query_params.get_all("cost_break")
    words = [WORDS.get(one, one) for one in given]
    if words != given:
        st.query_params["cost_break"] = words
        st.session_state["cost_break"] = [one for one in words if one in CODES]
    names = ("provider", "month", "cost_status")
    check = AddressCheck({"cost_break": words} | {name: st.query_params.get_all(name) for name in names})
    left_out = "it is left out of the filter"
    check.check("provider", "The provider", (*providers, ""), left_out)
    check.check("month", "The month", (*cost_queries.known_months(context.snapshot), ""), left_out)
    check.check("cost_break", "The break", (*CODES, ""), left_out)
    # An empty value means all.
    check.check("cost_status", "The case status", (*STATUSES, ""), left_out)
    for problem in check.problems:
        st.warning(formats.plain(problem), icon=":material/link_off:")


def _cases(context: Context, providers: Sequence[str]) -> None:
    st.subheader("Cases", anchor=False)
    left, middle, wide, right = st.columns([2, 2, 3, 2], vertical_alignment="bottom")
    statuses = left.multiselect(
        "Case status", STATUSES, ["break"], key="cost_status", bind="query-params", placeholder="All"
    )
    chosen_months = middle.multiselect(
        "Month (UTC)",
        cost_queries.known_months(context.snapshot),
        key="month",
        bind="query-params",
        placeholder="All",
    )
    words = wide.multiselect("Break", list(CODES), key="cost_break", bind="query-params", placeholder="All")
    with right:
        all_currencies = st.toggle(
            "All currencies",
            False,
            key="all_currencies",
            bind="query-params",
            help="Otherwise, only cases in the sidebar's currency.",
        )
        in_period = st.toggle(
            "Only cases of the period",
            False,
            key="of_period",
            bind="query-params",
            help="By the UTC day of the case. Otherwise, the cases of all periods.",
        )
    search = CostSearch(
        tuple(providers),
        tuple(chosen_months),
        tuple(statuses),
        tuple(CODES[one] for one in words),
        in_period=in_period,
        all_currencies=all_currencies,
    )
    _outside(context, search)
    paged_table(
        lambda page: cost_queries.cases(context.snapshot, context.filters, search, page),
        cost_queries.case_counts(context.snapshot, context.filters, search),
        case_columns(context),
        alt="Cost cases",
        prefix="case_",
        first="priority",
        descending=False,
        remedy="Remove a filter above or in the sidebar.",
    )
    if all_currencies:
        st.caption("Amounts of different currencies are in the order of their numbers.")
    controls.not_applied(context.filters, "paywalls", "entry_types", *controls.USER_LISTS)
    download_panel(
        context,
        "cost_reconciliation",
        provider=list(providers),
        month=chosen_months,
        cost_status=statuses,
        cost_break=list(search.break_types),
        all_currencies="true" if all_currencies else "",
        of_period="true" if in_period else "",
    )
    download_panel(context, "bill_lines")


def _outside(context: Context, search: CostSearch) -> None:
    """Report the breaks of priority 1 that the filters exclude, with a link that shows them."""
    rows = cost_queries.urgent_outside(context.snapshot, context.filters, search)
    if not rows:
        return
    count = sum(row["cases"] for row in rows)
    amounts = [
        formats.short_with_currency(row["at_risk"], row["currency"]) for row in rows[:LISTED_CURRENCIES]
    ]
    more = [f"{len(rows) - LISTED_CURRENCIES} more currencies"] if len(rows) > LISTED_CURRENCIES else []
    verb = "is" if count == 1 else "are"
    link = escape(f"costs?{urlencode({'all_currencies': 'true'})}")
    st.html(
        f'<p role="status"><strong>{formats.counted(count, "break")} of priority 1 {verb} outside the'
        f" filters</strong> ({escape(', '.join([*amounts, *more]))})."
        f' <a class="way" href="{link}" target="_self">Show all open breaks</a></p>'
    )


def case_columns(context: Context) -> list[Column]:
    """Return the columns of cases, each of which leads to the page of the case."""
    return [
        count_column("priority", "Priority"),
        Column(
            "break_type",
            "Break",
            lambda row: words_for(row["break_type"]),
            unbroken=True,
            link=lambda row: None if row["break_type"] is None else address("costcase", case=row["case_id"]),
        ),
        Column(
            "at_risk",
            "At risk",
            lambda row: formats.with_currency(row["at_risk"], row["currency"]),
            right=True,
        ),
        day_column("usage_date", "Day (UTC)", link=lambda row: address("costcase", case=row["case_id"])),
        text_column("provider", "Provider"),
        text_column("model_id", "Model"),
        count_column("charges", "Charges"),
        money_column("ledger_cost", "Recorded", _currency_of),
        money_column("billed_cost", "Billed", _currency_of),
        money_column("difference", "Billed − recorded", _currency_of),
        money_column("volume_difference", "Of it volume", _currency_of),
        money_column("rate_difference", "Of it rate", _currency_of),
        text_column("status", "Status"),
        instant_column("broken_since", "Break since", context.timezone),
    ]


def _unknown_models(context: Context) -> None:
    rows = cost_queries.unknown_models(context.snapshot)
    if not rows:
        return
    st.subheader("Model names on bills that nothing resolves", anchor=False)
    st.markdown(
        "Their lines are in cases of the model `unknown`. Names are never guessed: state in"
        " `landing/bills/models.csv` which model of the ledger each one is. The last such file holds alone,"
        " so that it needs the lines of the earlier one, too."
    )
    columns = [
        text_column("provider", "Provider"),
        text_column("model_as_billed", "Name on the bill"),
        money_column("billed_amount", "Billed", _currency_of),
        _currency_column(),
        count_column("bill_lines", "Lines"),
        day_column("first_day", "First day (UTC)"),
        day_column("last_day", "Last day (UTC)"),
        Column("candidates", "Recorded, not billed on the same days", _candidates),
    ]
    table(rows[:SHOWN_NAMES], columns, alt="Unknown model names on bills")
    if len(rows) > SHOWN_NAMES:
        st.caption(f"The {SHOWN_NAMES} with the most money, out of {len(rows):,}.")
    names = {(row["provider"], row["model_as_billed"]): row["candidates"] for row in rows[:SHOWN_NAMES]}
    lines = [line_of_model(provider, name, candidates) for (provider, name), candidates in names.items()]
    copyable("\n".join(["provider,model_as_billed,model_id", *lines]), "the lines of bills/models.csv")
    st.caption(
        "Replace MODEL_ID by the model of the ledger. A model that stands there already is the only one that"
        " was recorded and not billed on the same days: check it before you land the file."
    )


def _candidates(row: Row) -> str:
    return ", ".join(row["candidates"]) or formats.NOTHING
