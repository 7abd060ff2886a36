"""The page of finance: deferred revenue, what usage was paid from, the journal, and closed months."""

from collections.abc import Sequence
from datetime import date

import streamlit as st

from dashboard import charts, formats
from dashboard.address_check import AddressCheck
from dashboard.chart_panel import chart_panel
from dashboard.context import Context, address, link_to
from dashboard.copying import copyable
from dashboard.download_panel import download_panel
from dashboard.queries import finance as finance_queries
from dashboard.snapshot import Row
from dashboard.steps import months_after
from dashboard.tables import (
    Column,
    count_column,
    day_column,
    folded_table,
    instant_column,
    money_column,
    table,
    text_column,
)
from dashboard.tiles import Tile, tiles

RECENT_MONTHS = 12
# Keeps a sign and its word on one line.
NBSP = "\N{NO-BREAK SPACE}"
# More bars cannot be clicked on a telephone.
SHOWN = 36
CLOSINGS = {
    "closing": "Deferred revenue",
    "promo_closing": "Promo credit",
    "overdraft_closing": "Overdrafts",
}
PAID_FROM = {
    "revenue_paid": "Paid credit",
    "revenue_promo": "Promo credit",
    "revenue_unfunded": "Unfunded",
}
EARLIER_VERSION = (
    "The published file was written by an earlier version, which had no journal."
    " `paywall-warehouse run` publishes one that does."
)


def show(context: Context) -> None:
    """Draw the page."""
    if not finance_queries.is_published(context.snapshot):
        st.info(EARLIER_VERSION, icon=":material/info:")
        return
    months = finance_queries.months(context.snapshot, context.currency, context.about.today)
    journaled = finance_queries.journal_months(context.snapshot, context.currency)
    periods = finance_queries.periods(context.snapshot)
    if not months and not journaled:
        st.info(
            f"The ledger has no entry in {context.currency.upper()}. Only payments have this currency.",
            icon=":material/info:",
        )
        link_to("reconciliation", "Reconciliation")
    if months:
        _tiles(context, months[0], periods)
        _rollforward(context, months, journaled, periods)
        _usage(context, months, journaled)
    if journaled:
        _journal(context, journaled, periods)
    _periods(context, journaled, periods)
    _changes(context, journaled, periods)
    if months:
        download_panel(context, "deferred_revenue")
        download_panel(context, "credit_days")


def _closed(periods: Sequence[Row]) -> list[date]:
    """Return the closed months, the latest first."""
    return [row["month_start"] for row in periods if row["status"] == "closed"]


def _tiles(context: Context, latest: Row, periods: Sequence[Row]) -> None:
    currency, closed = context.currency, _closed(periods)
    meanings = {
        "closing": "Credit that was paid for and not yet used.",
        "promo_closing": "Credit that was given away and not yet used. It is no liability from a payment.",
        "overdraft_closing": "What wallets owe: usage beyond all credit, until a deposit settles it.",
    }
    st.subheader(f"On {formats.day(latest['last_day'])}", anchor=False)
    tiles(
        [
            *(
                Tile(
                    label,
                    formats.short_with_currency(latest[name], currency),
                    formats.plain(
                        f"{meanings[name]} Exactly {formats.with_currency(latest[name], currency)}."
                    ),
                )
                for name, label in CLOSINGS.items()
            ),
            Tile(
                "Closed through",
                _month(closed[0]) if closed else "no month yet",
                "The latest month whose journal never changes any more.",
            ),
        ]
    )


def _month(starts_on: date) -> str:
    return f"{starts_on:%Y-%m}"


def _month_column(journaled: Sequence[date], label: str = "Month") -> Column:
    """Return a column of months that lead to their journal, if they are among those with lines."""
    return Column(
        "starts_on",
        label,
        lambda row: _month(row["starts_on"]) + ("" if row.get("is_over", True) else " *"),
        unbroken=True,
        link=lambda row: _journal_of(row["starts_on"]) if row["starts_on"] in journaled else None,
    )


def _journal_of(month: date) -> str:
    return address("finance", journal_month=_month(month))


def _rollforward(
    context: Context, months: Sequence[Row], journaled: Sequence[date], periods: Sequence[Row]
) -> None:
    currency = context.currency
    st.subheader("Deferred revenue by month", anchor=False)
    shown = [name for name in CLOSINGS if name == "closing" or any(row[name] for row in months)]
    steps = list(reversed(months[:SHOWN]))
    points = charts.money_points(steps, {name: CLOSINGS[name] for name in shown}, currency)
    chart_panel(
        charts.lines(
            points,
            currency.upper(),
            grain="month",
            partial={row["starts_on"] for row in steps if not row["is_over"]},
            links={
                row["starts_on"]: _journal_of(row["starts_on"])
                for row in steps
                if row["starts_on"] in journaled
            },
        ),
        points,
        f"deferred-revenue-{currency}",
        "Credit at the end of each month; the table below has the numbers",
    )
    columns = [
        _month_column(journaled),
        money_column("opening", "Opening", currency),
        money_column("added", f"+{NBSP}Added", currency, help="Paid credit added."),
        money_column(
            "used",
            f"−{NBSP}Used",
            currency,
            help="Usage that was paid from paid credit, minus what was given back.",
        ),
        money_column(
            "overdraft_settled",
            f"−{NBSP}Overdraft settled",
            currency,
            help="Added paid credit that paid for earlier usage beyond all credit.",
        ),
        money_column(
            "returned", f"−{NBSP}Returned", currency, help="Refunds of deposits, withdrawals, adjustments."
        ),
        money_column("expired", f"−{NBSP}Expired", currency, help="Paid credit that expired: breakage."),
        money_column("closing", f"={NBSP}Closing", currency),
        *(money_column(name, CLOSINGS[name], currency) for name in shown[1:]),
    ]
    if _closed(periods):
        columns += [
            money_column(
                "booked_closing",
                "Booked",
                currency,
                help="The balance of the account deferred_revenue in the journal.",
            ),
            money_column("booked_difference", "Booked − closing", currency),
        ]
    _table_of_months(months, columns, "rollforward", "Deferred revenue by month")
    absent = [CLOSINGS[name].lower() for name in CLOSINGS if name not in shown]
    notes = [
        "A month with * is not over yet: its closing is that of today." if not months[0]["is_over"] else "",
        f"There has never been any {' and no '.join(absent)} at the end of a month." if absent else "",
    ]
    if any(notes):
        st.caption(" ".join(filter(None, notes)))
    _booked_note([row for row in months if row["booked_difference"]])


def _booked_note(differing: Sequence[Row]) -> None:
    if not differing:
        return
    listed = ", ".join(_month(row["starts_on"]) for row in differing[:RECENT_MONTHS])
    more = f" and {len(differing) - RECENT_MONTHS} more" if len(differing) > RECENT_MONTHS else ""
    st.caption(
        f":material/info: Booked differs from closing in {listed}{more}: entries of a closed month landed or"
        " changed after its close. Its journal stays as it was reported. The difference is journaled on the"
        " first day of the first month that was open, and from that month on both agree."
    )


def _table_of_months(months: Sequence[Row], columns: Sequence[Column], key: str, alt: str) -> None:
    table(months[:RECENT_MONTHS], columns, alt=alt)
    if earlier := months[RECENT_MONTHS:]:
        number = formats.counted(len(earlier), "earlier month").capitalize()
        folded_table(number, earlier, columns, key=f"earlier_{key}", alt=f"Earlier months: {alt}")


def _usage(context: Context, months: Sequence[Row], journaled: Sequence[date]) -> None:
    currency = context.currency
    st.subheader("What usage was paid from, and breakage", anchor=False)
    shown = {
        name: label
        for name, label in PAID_FROM.items()
        if name == "revenue_paid" or any(row[name] for row in months)
    }
    steps = list(reversed(months[:SHOWN]))
    chart_panel(
        charts.stacked_bars(
            [
                charts.Stack(
                    charts.day_label(row["starts_on"], "month"),
                    charts.day_label(row["starts_on"], "month")
                    + ("" if row["is_over"] else f", {charts.NOT_OVER}"),
                    {label: row[name] for name, label in shown.items()},
                    {
                        label: formats.with_currency(row[name], currency)
                        for name, label in {**shown, "usage": "Net usage", "expired": "Breakage"}.items()
                    },
                    is_over=row["is_over"],
                )
                for row in steps
            ],
            currency.upper(),
        ),
        [
            {name: row[name] for name in ("starts_on", *PAID_FROM, "usage", "expired")}
            | {"month_is_over": "yes" if row["is_over"] else "not yet"}
            for row in steps
        ],
        f"usage-paid-from-{currency}",
        "What usage was paid from, by month; the table below has the numbers",
    )
    columns = [
        _month_column(journaled),
        *(money_column(name, label, currency) for name, label in shown.items()),
        money_column("usage", f"={NBSP}Net usage", currency),
        money_column("expired", "Breakage", currency, help="Paid credit that expired unused."),
    ]
    _table_of_months(months, columns, "usage", "What usage was paid from by month")
    missing = [
        text
        for name, text in {"revenue_promo": "from promo credit", "revenue_unfunded": "unfunded"}.items()
        if name not in shown
    ]
    none = f" None of it was {' or '.join(missing)}." if missing else ""
    st.caption(
        "Usage of wallets, net of refunds by wallet and day, so that it may be less than revenue. Usage that"
        f" is billed later (postpaid) is not in it.{none}"
    )


def _journal(context: Context, months: Sequence[date], periods: Sequence[Row]) -> None:
    currency, code = context.currency, context.currency.upper()
    st.subheader("Journal by account", anchor=False)
    named = {_month(month): month for month in months}
    over = [name for name, month in named.items() if months_after(month, 1) <= context.about.today]
    first = over[0] if over else next(iter(named))
    check = AddressCheck({"journal_month": st.query_params.get_all("journal_month")})
    check.check("journal_month", "The month", (*named, ""), f"{first} is shown")
    for problem in check.problems:
        st.warning(formats.plain(problem), icon=":material/link_off:")
    chosen = st.selectbox(
        "Month of the journal",
        list(named),
        list(named).index(first),
        key="journal_month",
        bind="query-params",
        width=240,
    )
    month = named[chosen or first]
    status = "closed" if month in _closed(periods) else "open"
    total = finance_queries.journal_total(context.snapshot, currency, month)
    equal = (
        "Debits and credits are equal" if total["debit"] == total["credit"] else "⚠ Debits and credits differ"
    )
    st.caption(
        f"{_month(month)} is {status}: {formats.counted(total['lines'], 'line')}. {equal}:"
        f" {formats.plain(formats.with_currency(total['debit'], currency))} and"
        f" {formats.plain(formats.with_currency(total['credit'], currency))}."
    )
    columns = [
        text_column("account", "Account"),
        money_column("debit", f"Debit ({code})", currency),
        money_column("credit", f"Credit ({code})", currency),
        money_column("movement", "Debit − credit", currency),
        money_column(
            "balance",
            "Balance at the end",
            currency,
            help="Debit minus credit of this month and of all months before. Below 0: a credit balance.",
        ),
    ]
    table(finance_queries.accounts(context.snapshot, currency, month), columns, alt="Journal by account")
    folded_table(
        "By account and journal",
        finance_queries.journal(context.snapshot, currency, month),
        [
            text_column("account", "Account"),
            text_column("journal", "Journal"),
            money_column("debit", f"Debit ({code})", currency),
            money_column("credit", f"Credit ({code})", currency),
            money_column("balance", "Debit − credit", currency),
            count_column("lines", "Lines"),
            count_column("adjustments", "Of them adjustments", help="Lines about a day of a closed month."),
        ],
        key="journal_lines",
        alt="Journal by account and journal",
    )
    download_panel(context, "journal", journal_month=_month(month))
    st.caption(
        f"For an accounting program: `paywall-warehouse export journal --format hledger --from {month}"
        f" --to {months_after(month, 1)}` (or `xero`, `quickbooks`)."
    )


def _periods(context: Context, journaled: Sequence[date], periods: Sequence[Row]) -> None:
    st.subheader("Months open and closed", anchor=False)
    if not periods:
        st.caption("The journal has no lines yet, so there is no month to close.")
        return
    closed, today = _closed(periods), context.about.today
    if not closed:
        st.info(
            "No month is closed. While a month is open, late entries change its journal. Close it when you"
            " have reported it: then it never changes, and late changes go to the first open month.",
            icon=":material/lock_open:",
        )
    following = finance_queries.next_to_close(periods)
    if following is not None:
        month = following["month_start"]
        end = months_after(month, 1)
        if end <= today:
            st.markdown(f"**{_month(month)}** is over and can be closed:")
            copyable(
                f'paywall-warehouse close {_month(month)} --by "YOUR NAME"',
                "the command that closes the month",
            )
        else:
            st.caption(
                f"The next month to close is {_month(month)}, from {formats.day(end)} on:"
                f" `paywall-warehouse close {_month(month)} --by NAME`."
            )
    rows = [row | {"starts_on": row["month_start"], "state": _state(row, today)} for row in periods]
    columns = [
        _month_column(journaled),
        text_column("state", "Status"),
        instant_column("closed_at", "Closed at", context.timezone),
        text_column("closed_by", "By"),
        text_column("note", "Note"),
        text_column("digest", "Digest", folded=True, help="SHA-256 of the booked lines."),
    ]
    _table_of_months(rows, columns, "periods", "Months open and closed")
    st.caption("Months are closed for all currencies at once.")
    if events := finance_queries.period_events(context.snapshot):
        folded_table(
            "Every close and reopening",
            events,
            [
                instant_column("acted_at", "At", context.timezone),
                Column("month_start", "Month", lambda row: _month(row["month_start"]), unbroken=True),
                text_column("action", "Act"),
                text_column("acted_by", "By"),
                text_column("note", "Note or reason"),
                count_column("lines", "Booked lines"),
            ],
            key="period_events",
            alt="Every close and reopening",
        )


def _state(row: Row, today: date) -> str:
    if row["status"] == "closed":
        return "closed" if row["closed_at"] else "closed, before the first close"
    return "open" if months_after(row["month_start"], 1) <= today else f"open, {charts.NOT_OVER}"


def _changes(context: Context, journaled: Sequence[date], periods: Sequence[Row]) -> None:
    currency = context.currency
    if not _closed(periods):
        return
    st.subheader("What changed after a close", anchor=False)
    rows = finance_queries.changes(context.snapshot, currency)
    if not rows:
        st.caption(f"Nothing has changed in the closed months in {currency.upper()}.")
        return
    st.caption(
        "Late and changed entries of closed months, net per account. They are journaled on the day under"
        " *Journaled on*, and relate to days of the closed month."
    )
    table(
        rows,
        [
            _month_column(journaled, "Closed month"),
            text_column("account", "Account"),
            text_column("journal", "Journal"),
            day_column(
                "journal_date",
                "Journaled on",
                link=lambda row: _journal_of(row["journal_date"]),
            ),
            money_column("debit", f"Debit ({currency.upper()})", currency),
            money_column("credit", f"Credit ({currency.upper()})", currency),
            money_column("balance", "Debit − credit", currency),
            count_column("days", "Days"),
        ],
        alt="What changed after a close",
    )
