"""The sidebar with the filters. The address keeps every filter that differs from its default."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard import formats
from dashboard.address_check import AddressCheck
from dashboard.context import KEPT, link_without_filters
from dashboard.filters import OF_ENTRIES, OF_USERS, Filters
from dashboard.queries import publication as publication_queries
from dashboard.queries.publication import About
from dashboard.queries.usage import GRAINS, Grain
from dashboard.snapshot import Row, Snapshot

CUSTOM = "custom"
PERIODS = {
    "today": "Today",
    "yesterday": "Yesterday",
    "last_7_days": "Last 7 days",
    "last_30_days": "Last 30 days",
    "last_90_days": "Last 90 days",
    "month_to_date": "Month to date",
    "previous_month": "Previous month",
    "all_time": "All time",
    CUSTOM: "Custom days",
}
DEFAULT_PERIOD = "last_30_days"
# The number of steps that can be distinguished on a screen.
MAX_STEPS = 92
ENTRY_TYPES = ("charge", "deposit", "refund", "adjustment", "withdrawal")
USER_STATUSES = ("connected", "requested", "declined", "revoked", "unknown")
BALANCE_BANDS = ("high", "low", "zero", "negative")
PAYER_TYPES = ("new", "returning", "none")


def filters_from_sidebar(snapshot: Snapshot, about: About) -> tuple[Filters, list[str]]:
    """Draw the filters, and return their values, and what the address asks for that does not exist."""
    # Streamlit drops such values from the address when it draws the filters.
    check = AddressCheck({name: st.query_params.get_all(name) for name in st.query_params})
    with st.sidebar:
        period = st.selectbox(
            "Period",
            list(PERIODS),
            list(PERIODS).index(DEFAULT_PERIOD),
            format_func=PERIODS.__getitem__,
            key="period",
            bind="query-params",
        )
        check.check("period", "The period", PERIODS.values(), "the last 30 days are shown")
        periods = publication_queries.periods(snapshot)
        since, until, before = _custom(about, check) if period not in periods else _named(periods[period])
        compare = st.toggle(
            "Compare with the previous period",
            True,
            key="compare",
            bind="query-params",
            help="The period of the same length just before. For the month to date, the same days of the"
            " previous month.",
        )
        currency = st.selectbox(
            "Currency",
            about.currencies,
            format_func=str.upper,
            key="currency",
            bind="query-params",
            help="Currencies after those of the ledger occur only in payments.",
        )
        check.check(
            "currency",
            "The currency",
            map(str.upper, about.currencies),
            f"{about.currencies[0].upper()} is shown",
        )
        lists = _lists(check, snapshot)
        if any(name in KEPT for name in st.query_params):
            link_without_filters()
    return _filters(about, (since, until, before), currency, compare, lists), check.problems


def default_filters(about: About, period: Row) -> Filters:
    """Return the filters of an address with nothing but a named period."""
    return _filters(about, _named(period), about.currencies[0], True, {})


def _filters(
    about: About,
    days: tuple[date, date, tuple[date, date] | None],
    currency: str,
    compare: bool,
    lists: dict[str, Any],
) -> Filters:
    since, until, before = days
    if not compare or (before is not None and before[0] < about.first_day):
        # A period that begins before the data would make every change look like growth.
        before = None
    is_cut = before is not None and about.partial_day == until - timedelta(days=1)
    cut = about.same_time_on(before[1] - timedelta(days=1)) if before and is_cut else None
    return Filters(since, until, currency, before, cut, **lists)


def described(filters: Filters, about: About) -> str:
    """Return the filters as a line of Markdown."""
    zone = ZoneInfo(about.reporting_timezone)
    days = (filters.until - filters.since).days
    span = (
        formats.day(filters.since)
        if days == 1
        else f"{formats.day(filters.since)} to {formats.day(filters.last_day)}"
    )
    partial = (
        f", {'' if days == 1 else 'the last one '}until {about.as_of.astimezone(zone):%H:%M}"
        if about.partial_day == filters.last_day
        else ""
    )
    words = [f"**{span}** ({formats.counted(days, 'day')}{partial})", f"**{filters.currency.upper()}**"]
    lists = (
        ("paywall", filters.paywalls),
        ("model", filters.models),
        ("type", filters.entry_types),
        ("status", filters.user_statuses),
        ("balance", filters.balance_bands),
        ("payer", filters.payer_types),
    )
    words += [f"{name}: {', '.join(map(formats.plain, chosen))}" for name, chosen in lists if chosen]
    if filters.before:
        since, until = filters.before
        last = until - timedelta(days=1)
        before = formats.day(since) if since == last else f"{formats.day(since)} to {formats.day(last)}"
        cut = f", {filters.before_cut.astimezone(zone):%H:%M}" if filters.before_cut else ""
        words.append(f"compared with {before}{cut}")
    elif st.session_state.get("compare", True):
        words.append(f"not compared: the data begin on {formats.day(about.first_day)}")
    return " · ".join(words)


def not_applied(filters: Filters, *names: str) -> None:
    """Show which of the active filters `names` do not limit the rows that follow."""
    ignored = [name for name in names if getattr(filters, name)]
    if ignored:
        words = {"models": "model", "entry_types": "event type", "paywalls": "paywall"}
        users = ["user attributes"] if any(name not in words for name in ignored) else []
        listed = [words[name] for name in ignored if name in words] + users
        st.caption(f":material/info: Not filtered by {', '.join(listed)}: these rows have no such attribute.")


USER_LISTS = ("user_statuses", "balance_bands", "payer_types")


def _lists(check: AddressCheck, snapshot: Snapshot) -> dict[str, Any]:
    """Draw the filters with several values, only while they are open or limit something."""
    is_limited = any(st.query_params.get(name) for name, *_ in (*OF_ENTRIES, *OF_USERS))
    # Expanders have keys: without one, a change of a filter may collapse it again.
    with st.expander("More filters", is_limited, key="more_filters", on_change="rerun") as part:
        if not part.open and not is_limited:
            # A browser needs longer for these six lists than for a chart.
            return {}
        return {
            "paywalls": _several(check, "Paywall", publication_queries.known_paywalls(snapshot), "paywall"),
            "models": _several(check, "Model", publication_queries.known_models(snapshot), "model"),
            "entry_types": _several(
                check, "Event type", ENTRY_TYPES, "type", help="The type of the ledger entry."
            ),
            **_lists_of_users(check),
        }


def _lists_of_users(check: AddressCheck) -> dict[str, Any]:
    st.caption("Users")
    return {
        "user_statuses": _several(
            check,
            "Status",
            USER_STATUSES,
            "status",
            help="The status of the user's authorization, by its last event.",
        ),
        "balance_bands": _several(
            check, "Balance", BALANCE_BANDS, "band", help="Low means below the setting LOW_BALANCE."
        ),
        "payer_types": _several(
            check,
            "New or returning",
            PAYER_TYPES,
            "payer",
            help=(
                "New: first payment within the last 30 days. Returning: paid within the last 30 days, and"
                " before. None: no payment within the last 30 days."
            ),
        ),
    }


def _several(
    check: AddressCheck,
    label: str,
    options: Sequence[str],
    key: str,
    help: str | None = None,  # noqa: A002  Streamlit's name
) -> tuple[str, ...]:
    check.check(key, f"The {label.lower()}", options, "it is left out of the filter")
    return tuple(st.multiselect(label, options, key=key, bind="query-params", placeholder="All", help=help))


def _named(period: Row) -> tuple[date, date, tuple[date, date] | None]:
    before = (period["previous_start"], period["previous_end"]) if period["previous_start"] else None
    return period["period_start"], period["period_end"], before


def _custom(about: About, check: AddressCheck) -> tuple[date, date, tuple[date, date] | None]:
    last = max(about.today, about.last_day)
    check.check_days("days", about.first_day, last)
    chosen = st.date_input(
        "Days (first and last)",
        (max(about.first_day, about.today - timedelta(days=29)), about.today),
        about.first_day,
        last,
        key="days",
        bind="query-params",
        format="YYYY-MM-DD",
    )
    # There is only one day while the second is being chosen.
    days = [one for one in (chosen if isinstance(chosen, tuple) else (chosen,)) if one is not None]
    # In an address the later day may come first.
    if days != sorted(days):
        days.sort()
        check.problems.append(f"The days are in the wrong order; {days[0]} to {days[-1]} is shown.")
    since, until = (
        (days[0], days[-1] + timedelta(days=1)) if days else (about.today, about.today + timedelta(days=1))
    )
    return since, until, (since - (until - since), since)


def grain(filters: Filters) -> Grain:
    """Draw the choice of day, week or month, and return it. The default gives a readable number of steps."""
    chosen = st.segmented_control(
        "By", GRAINS, default=readable_grain(filters), key="by", bind="query-params", required=True
    )
    return next(one for one in GRAINS if one == chosen)


def readable_grain(filters: Filters) -> Grain:
    """Return the finest steps that can be distinguished on a screen."""
    days = (filters.until - filters.since).days
    return "day" if days <= MAX_STEPS else "week" if days <= MAX_STEPS * 7 else "month"
