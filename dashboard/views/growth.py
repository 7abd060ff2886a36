"""The page of growth: where revenue came from by period, who stays, and the users behind each bar."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import streamlit as st

from dashboard import charts, controls, formats
from dashboard.address_check import AddressCheck
from dashboard.chart_panel import chart_panel
from dashboard.chart_style import COLOURS
from dashboard.context import Context, address, address_with, kept_parameters, link_to, user_address
from dashboard.download_panel import download_panel
from dashboard.queries import growth as growth_queries
from dashboard.queries.growth import EVEN, GAINS, LOSSES, MOVEMENTS, PERIOD_KINDS, MovementSearch, PeriodKind
from dashboard.snapshot import Row
from dashboard.steps import months_after
from dashboard.tables import (
    Column,
    count_column,
    folded_table,
    money_column,
    paged_table,
    share_column,
    text_column,
)
from dashboard.tiles import Tile, tiles

KINDS: dict[PeriodKind, str] = {"month": "Month", "week": "Week", "days_28": "28 days"}
# Each kind keeps its period under a name of its own, because a month is no week.
PERIOD_KEYS: dict[PeriodKind, str] = {
    "month": "growth_month",
    "week": "growth_week",
    "days_28": "growth_28_days",
}
LABELS = {
    "new": "New",
    "resurrected": "Resurrected",
    "expansion": "Expansion",
    "contraction": "Contraction",
    "churned": "Churned",
    EVEN: "Retained without change",
}
ALL = "All"
MEANINGS = {
    "new": "Revenue of users who paid for the first time ever in this currency.",
    "resurrected": "Revenue of users who had paid earlier, but not in the period before.",
    "expansion": "How much more users spent than in the period before.",
    "contraction": "How much less users spent who still paid.",
    "churned": "What users who did not pay in this period had spent in the period before.",
}
# Blue and green win revenue, orange and red lose it.
BAR_COLOURS = (COLOURS[0], COLOURS[4], COLOURS[2], COLOURS[5], COLOURS[1])
# More bars cannot be clicked on a telephone.
SHOWN = 36
EARLIER_VERSION = (
    "The published file was written by an earlier version, which did not compute growth."
    " `paywall-warehouse run` publishes one that does."
)


def show(context: Context) -> None:
    """Draw the page."""
    if not growth_queries.is_published(context.snapshot):
        st.info(EARLIER_VERSION, icon=":material/info:")
        return
    kind = _kind()
    everything = growth_queries.periods(context.snapshot, kind, context.currency)
    if not everything:
        st.info(
            f"The ledger has no entry in {context.currency.upper()}. Only payments have this currency.",
            icon=":material/info:",
        )
        link_to("reconciliation", "Reconciliation")
        return
    now = _chosen_period(kind, everything)
    _tiles(context, kind, now, _before(everything, now))
    controls.not_applied(context.filters, "paywalls", "models", "entry_types", *controls.USER_LISTS)
    _movements(context, kind, everything)
    _users_behind(context, kind, now)
    _retention(context, kind, everything)
    download_panel(context, "growth")


def _kind() -> PeriodKind:
    check = AddressCheck({"kind": st.query_params.get_all("kind")})
    check.check("kind", "The kind of period", (*KINDS.values(), ""), "months are shown")
    chosen = st.segmented_control(
        "By",
        PERIOD_KINDS,
        default="month",
        required=True,
        key="kind",
        bind="query-params",
        format_func=KINDS.__getitem__,
        help="Weeks begin on Monday. Blocks of 28 days have four of each weekday.",
    )
    _report(check)
    return next(one for one in PERIOD_KINDS if one == chosen)


def _chosen_period(kind: PeriodKind, periods: Sequence[Row]) -> Row:
    """Draw the choice of a period, and return its row. The default is the latest one that is over."""
    named = {_period_name(row["starts_on"], kind): row for row in reversed(periods)}
    over = [name for name, row in named.items() if row["is_complete"]]
    first = over[0] if over else next(iter(named))
    key = PERIOD_KEYS[kind]
    check = AddressCheck({key: st.query_params.get_all(key)})
    check.check(key, "The period", (*named, ""), f"{first} is shown")
    chosen = st.selectbox(
        "Month" if kind == "month" else f"{KINDS[kind]} from",
        list(named),
        list(named).index(first),
        key=key,
        bind="query-params",
        width=240,
        help="The period of the numbers and of the users below. A click on a bar chooses it, too.",
    )
    _report(check)
    return named[chosen or first]


def _report(check: AddressCheck) -> None:
    for problem in check.problems:
        st.warning(formats.plain(problem), icon=":material/link_off:")


def _period_name(starts_on: date, kind: PeriodKind) -> str:
    return f"{starts_on:%Y-%m}" if kind == "month" else starts_on.isoformat()


def _before(periods: Sequence[Row], now: Row) -> Row | None:
    index = periods.index(now)
    return periods[index - 1] if index else None


def _is_comparable(context: Context, now: Row, before: Row | None) -> bool:
    """Return whether both periods are whole. Otherwise, a part would be compared with a whole."""
    return bool(now["is_complete"] and before and before["starts_on"] >= context.about.first_day)


def _tiles(context: Context, kind: PeriodKind, now: Row, before: Row | None) -> None:
    currency = context.currency
    compared = before if _is_comparable(context, now, before) else None
    st.subheader(_heading(now, kind), anchor=False)

    def tile(
        label: str,
        name: str,
        meaning: str,
        text_of: Callable[[Any], str],
        change_of: Callable[[Any, Any], str | None] = formats.change,
        *,
        is_cost: bool = False,
    ) -> Tile:
        exact = (
            f" Exactly {formats.with_currency(now[name], currency)}."
            if isinstance(now[name], Decimal)
            else ""
        )
        return Tile(
            label,
            text_of(now[name]),
            formats.plain(meaning + exact),
            change_of(now[name], compared[name]) if compared else None,
            text_of(compared[name]) if compared else None,
            is_cost,
        )

    def money(amount: Decimal) -> str:
        return formats.short_with_currency(amount, currency)

    tiles(
        (
            tile("Revenue", "revenue", "Settled charges of all paywalls.", money),
            tile(
                "Net new revenue",
                "net_new",
                "New + resurrected + expansion − contraction − churned: the revenue minus that of the period"
                " before.",
                money,
                # In per cent of a number that may be below 0, a change says nothing.
                lambda *_: None,
            ),
            tile(
                "Gross retention",
                "gross_retention",
                "What is left of the revenue of the period before, after contraction and churn.",
                formats.share,
                _points,
            ),
            tile(
                "Net retention",
                "net_retention",
                "Gross retention with the expansion of the same users.",
                formats.share,
                _points,
            ),
            tile(
                "Quick ratio",
                "quick_ratio",
                "Revenue won (new, resurrected, expansion) divided by revenue lost (contraction, churned). A"
                " dash if nothing was lost.",
                formats.quotient,
            ),
        )
    )
    tiles(
        (
            tile("Users new", "users_new", "Users who paid for the first time ever.", formats.whole),
            tile(
                "Users retained",
                "users_retained",
                "Users who paid in this period and in the one before.",
                formats.whole,
            ),
            tile(
                "Users resurrected",
                "users_resurrected",
                "Users who had paid earlier, but not in the period before.",
                formats.whole,
            ),
            tile(
                "Users churned",
                "users_churned",
                "Users who paid in the period before, and not in this one.",
                formats.whole,
                is_cost=True,
            ),
        )
    )
    if not now["is_complete"]:
        st.caption(
            f":material/info: The period is {charts.NOT_OVER}. Whoever has not paid in it yet counts as"
            " churned so far, and less revenue as contraction, so it is not compared with the whole period"
            " before."
        )
    elif before is not None and compared is None:
        st.caption(
            ":material/info: Not compared: the data begin on"
            f" {formats.day(context.about.first_day)}, within the period before."
        )


def _heading(row: Row, kind: PeriodKind) -> str:
    label = charts.day_label(row["starts_on"], kind)
    return label[:1].upper() + label[1:] + ("" if row["is_complete"] else f", {charts.NOT_OVER}")


def _points(now: float | None, before: float | None) -> str | None:
    return None if now is None or before is None else formats.signed((now - before) * 100, "points")


def _movements(context: Context, kind: PeriodKind, everything: Sequence[Row]) -> None:
    st.subheader("Where revenue came from, and where it went", anchor=False)
    only_period = st.toggle(
        "Only the days of the sidebar",
        False,
        key="growth_in_period",
        bind="query-params",
        help=f"Otherwise, the latest {SHOWN} periods are shown.",
    )
    filters = context.filters
    rows = [
        row
        for row in everything
        if not only_period
        or (row["starts_on"] < filters.until and _next_start(row["starts_on"], kind) > filters.since)
    ]
    if not rows:
        st.caption("No data in this period.")
        return
    latest = rows[-SHOWN:]
    chart_panel(
        charts.stacked_bars(_stacks(context, kind, latest), context.currency.upper(), BAR_COLOURS),
        [_exact(row) for row in latest],
        f"growth-by-{kind}-{context.currency}",
        "Revenue won and lost by period; the table below has the numbers",
    )
    if not all(row["is_complete"] for row in latest):
        st.caption(f"A pale bar is {charts.NOT_OVER}. A click on a part of a bar lists its users.")
    if len(latest) < len(rows):
        st.caption(f"The latest {len(latest)} periods, out of {len(rows)}. The table has all.")
    folded_table(
        "Numbers",
        [row | {"name": _period_name(row["starts_on"], kind), "over": _over(row)} for row in reversed(rows)],
        _columns(context, kind),
        key="numbers",
        alt="Growth by period",
    )


def _stacks(context: Context, kind: PeriodKind, rows: Sequence[Row]) -> list[charts.Stack]:
    kept = kept_parameters()
    return [
        charts.Stack(
            _axis_name(row["starts_on"], kind),
            _heading(row, kind),
            {
                LABELS[name]: row[name] if name in GAINS else row[name].copy_negate()
                for name in (*GAINS, *LOSSES)
            },
            {
                **{LABELS[name]: formats.with_currency(row[name], context.currency) for name in GAINS},
                **{
                    LABELS[name]: formats.with_currency(_negative(row[name]), context.currency)
                    for name in LOSSES
                },
                "Net new": formats.with_currency(row["net_new"], context.currency),
                "Revenue": formats.with_currency(row["revenue"], context.currency),
            },
            {
                LABELS[name]: address_with(kept, "growth", **_parameters(kind, row["starts_on"], name))
                for name in (*GAINS, *LOSSES)
            },
            row["is_complete"],
        )
        for row in rows
    ]


def _negative(amount: Decimal) -> Decimal:
    """Return the amount below 0. A sum of nothing stays 0."""
    return amount.copy_negate() if amount else amount


def _axis_name(starts_on: date, kind: PeriodKind) -> str:
    return charts.day_label(starts_on, "month" if kind == "month" else "day")


def _parameters(kind: PeriodKind, starts_on: date, movement: str | None) -> dict[str, str | list[str]]:
    """Return the parameters of this page for a period and a movement, None for all movements."""
    return {
        "kind": KINDS[kind],
        PERIOD_KEYS[kind]: _period_name(starts_on, kind),
        **({} if movement is None else {"movement": LABELS[movement]}),
    }


def _next_start(starts_on: date, kind: PeriodKind) -> date:
    if kind == "month":
        return months_after(starts_on, 1)
    return starts_on + timedelta(days=7 if kind == "week" else 28)


def _over(row: Row) -> str:
    return "yes" if row["is_complete"] else "not yet"


def _exact(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "is_complete"} | {
        "period_is_over": _over(row)
    }


def _columns(context: Context, kind: PeriodKind) -> list[Column]:
    currency = context.currency

    def link(movement: str | None) -> Callable[[Row], str]:
        return lambda row: address("growth", **_parameters(kind, row["starts_on"], movement))

    return [
        text_column("name", "Month" if kind == "month" else f"{KINDS[kind]} from", link=link(None)),
        text_column("over", "Is over"),
        money_column("revenue", f"Revenue ({currency.upper()})", currency),
        money_column("net_new", "Net new", currency),
        *(
            money_column(name, LABELS[name], currency, help=MEANINGS[name], link=link(name))
            for name in (*GAINS, *LOSSES)
        ),
        share_column("gross_retention", "Gross retention"),
        share_column("net_retention", "Net retention"),
        Column("quick_ratio", "Quick ratio", lambda row: formats.quotient(row["quick_ratio"]), right=True),
        count_column("users_new", "Users new"),
        count_column("users_retained", "Users retained"),
        count_column("users_resurrected", "Users resurrected"),
        count_column("users_churned", "Users churned"),
    ]


def _users_behind(context: Context, kind: PeriodKind, now: Row) -> None:
    currency = context.currency
    st.subheader("The users behind the bar", anchor=False)
    options = (ALL, *(LABELS[name] for name in MOVEMENTS))
    check = AddressCheck({"movement": st.query_params.get_all("movement")})
    check.check("movement", "The movement", (*options, ""), "all movements are shown")
    label = st.selectbox("Movement", options, key="movement", bind="query-params", width=240)
    _report(check)
    movement = next((name for name in MOVEMENTS if LABELS[name] == label), None)
    search = MovementSearch(kind, now["starts_on"], currency, movement)
    sums = growth_queries.movement_sums(context.snapshot, search)
    amount, bar = (
        (sums["difference"], now["net_new"])
        if movement is None
        else (sums["amount"], now.get(movement, sums["amount"]))
    )
    if movement != EVEN:
        what = "the net new revenue" if movement is None else f"the bar of {LABELS[movement].lower()}"
        agreement = (
            f"which is {what}"
            if amount == bar
            else f"⚠ but {what} is {formats.plain(formats.with_currency(bar, currency))}"
        )
        st.caption(
            f"{_heading(now, kind)}: {formats.counted(sums['users'], 'user')}, together"
            f" {formats.plain(formats.with_currency(amount, currency))}, {agreement}."
        )
    amount_label = "Amount" if movement is None else LABELS[movement]
    paged_table(
        lambda page: growth_queries.users(context.snapshot, search, page),
        sums["users"],
        [
            money_column(
                "amount",
                f"{amount_label} ({currency.upper()})",
                currency,
                help="What the user adds to the movement.",
            ),
            text_column("user_id", "User", link=user_address),
            Column("movement", "Movement", lambda row: LABELS[row["movement"]], unbroken=True),
            money_column("revenue", "Revenue", currency),
            money_column("previous_revenue", "Revenue before", currency),
            money_column("difference", "Change", currency),
        ],
        alt="Users behind the bar",
        prefix="growth_",
        first="amount",
        remedy="Choose another period or movement.",
    )
    download_panel(
        context,
        "user_movements",
        period_kind=kind,
        period_start=formats.day(now["starts_on"]),
        movement=movement or "",
    )


def _retention(context: Context, kind: PeriodKind, everything: Sequence[Row]) -> None:
    st.subheader("Retention", anchor=False)
    rows = [
        row
        for before, row in pairwise(everything)
        if _is_comparable(context, row, before) and row["previous_revenue"]
    ][-SHOWN:]
    series = {"net_retention": "Net retention", "gross_retention": "Gross retention"}
    points = [
        charts.point(label, row["starts_on"], row[name], formats.share(row[name]))
        for name, label in series.items()
        for row in rows
    ]
    if not points:
        st.caption("Retention needs two whole periods in a row, the first one with revenue.")
        return
    chart_panel(
        charts.lines(
            points,
            "Of the revenue before",
            grain=kind,
            unit="share",
            links={
                row["starts_on"]: address("growth", **_parameters(kind, row["starts_on"], None))
                for row in rows
            },
        ),
        points,
        f"retention-by-{kind}-{context.currency}",
        "Gross and net retention by period; the table above has the numbers",
    )
    st.caption(
        "Whole periods with a whole one before. Above 100 %, the users of the period before spent more than"
        " they did then, in spite of those who left."
    )
