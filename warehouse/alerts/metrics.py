"""The rules over metrics: a limit for a period, and whole days against what is usual for them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from paywall_warehouse.quoting import quoted
from warehouse.alerts.definitions import DAILY_METRICS, MARGIN, PERIOD_METRICS, Rule
from warehouse.alerts.findings import Evaluation, Finding, rounded, short
from warehouse.alerts.usual_days import Limits, history_needed, unusual_day
from warehouse.checks.invariant import EXACT, exact_text

# They may be negative, or are shares, so that they are not compared as factors.
SIGNED: Final = ("net_revenue", "profit", "net_profit", MARGIN)
COUNTS: Final = (
    "charges",
    "counted_charges",
    "charges_without_cost",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "active_users",
    "active_payers",
    "new_payers",
    "returning_payers",
)
SHARES: Final = (MARGIN, "cost_coverage")
GROUPS: Final = {"paywall": "paywall_id", "model": "model_id"}


@dataclass(frozen=True)
class _Series:
    """The daily values of a currency, or of a paywall or model in a currency."""

    values: Mapping[date, Decimal]
    charges: Mapping[date, int]


def over_limit(evaluation: Evaluation, rule: Rule) -> Iterator[Finding]:
    """Yield the scopes whose metric is above or below the limit of a rule of type `threshold`."""
    metric, period = rule.options["metric"], rule.options["period"]
    above, below = rule.options["above"], rule.options["below"]
    limit = below if above is None else above
    for currency, group, value in _period_values(evaluation, rule):
        if value is None or (value <= limit if above is not None else value >= limit):
            continue
        side = "below" if above is None else "above"
        yield Finding(
            scope=_scope(currency, group),
            summary=(
                f"{metric} of {period} is {_shown(metric, value, currency)}, {side}"
                f" {_shown(metric, limit, currency)}{_of_group(rule, group)}."
            ),
            value=value,
            expected=limit,
        )


def unusual_changes(evaluation: Evaluation, rule: Rule) -> Iterator[Finding]:
    """Yield the scopes with an unusual value on one of the last whole days, for a rule of type `change`.

    The day that is not over yet never counts.
    """
    options, metric = rule.options, rule.options["metric"]
    today = evaluation.today()
    limits = Limits(
        is_positive=metric not in SIGNED,
        weeks=options["weeks"],
        spread=float(options["spread"]),
        by_more_than=float(options["by_more_than"]),
        direction=options["direction"],
    )
    last = _last_day(evaluation, today, options["wait_days"])
    if last is None:
        return
    since = last - history_needed(options["weeks"]) - timedelta(days=options["days"])
    until = last + timedelta(days=1)
    for (currency, group), series in _daily_values(evaluation, rule, since, until).items():
        if not _has_charges(series, until, options["least_charges"]):
            continue
        days = (last - timedelta(days=number) for number in range(options["days"]))
        found = next(filter(None, (unusual_day(series.values, day, limits) for day in days)), None)
        if found is None:
            continue
        weekday = f"{found.day:%A}"
        yield Finding(
            scope=_scope(currency, group),
            summary=(
                f"{metric} of {weekday} {found.day} was {_shown(metric, found.value, currency)}; usual for a"
                f" {weekday} is {_shown(metric, found.expected, currency)}{_of_group(rule, group)}."
            ),
            value=found.value,
            expected=found.expected,
        )


def _period_values(evaluation: Evaluation, rule: Rule) -> Iterator[tuple[str, str | None, Decimal | None]]:
    """Yield currency, group and value of a metric in a period."""
    metric, currency = rule.options["metric"], rule.options["currency"]
    limited, values = ("and currency = ?", [currency]) if currency else ("", [])
    if metric in PERIOD_METRICS:
        rows = evaluation.published.execute(
            f"""select currency, null, {quoted(metric)} from marts.fct_period_kpis
            where period = ? {limited} order by currency""",
            [rule.options["period"], *values],
        ).fetchall()
    else:
        rows = evaluation.published.execute(
            f"""with period as (
                select distinct period_start, period_end from marts.fct_period_kpis where period = ?
            )
            select currency, {_group(rule)}, {_sums(metric)}
            from marts.fct_daily_revenue, period
            where date_day >= period_start and date_day < period_end {limited}
            group by 1, 2 order by 1, 2""",
            [rule.options["period"], *values],
        ).fetchall()
    for row in rows:
        yield row[0], row[1], _value(metric, row[2:])


def _daily_values(
    evaluation: Evaluation, rule: Rule, since: date, until: date
) -> dict[tuple[str, str | None], _Series]:
    """Return the values of each whole day, from the first one on which the scope had usage.

    A day without usage is 0; its margin is unknown.
    """
    metric, currency = rule.options["metric"], rule.options["currency"]
    limited, values = ("and currency = ?", [currency]) if currency else ("", [])
    rows = evaluation.published.execute(
        f"""select currency, {_group(rule)}, date_day, sum(charges), {_sums(metric)}
        from marts.fct_daily_revenue
        where date_day >= ? and date_day < ? {limited}
        group by 1, 2, 3 order by 1, 2, 3""",
        [since, until, *values],
    ).fetchall()
    days: dict[tuple[str, str | None], dict[date, tuple[int, Decimal | None]]] = {}
    for row in rows:
        days.setdefault((row[0], row[1]), {})[row[2]] = (int(row[3]), _value(metric, row[4:]))
    found = {}
    for scope, known in days.items():
        first = min(known)
        every = [first + timedelta(days=number) for number in range((until - first).days)]
        nothing = (0, None if metric == MARGIN else Decimal(0))
        both = {day: known.get(day, nothing) for day in every}
        found[scope] = _Series(
            {day: value for day, (_, value) in both.items() if value is not None},
            {day: charges for day, (charges, _) in both.items()},
        )
    return found


def _last_day(evaluation: Evaluation, today: date, wait_days: int) -> date | None:
    """Return the last day that is compared; None for an empty ledger.

    A day without any usage in any currency has probably not landed yet. Rules about silence report that.
    """
    (newest,) = evaluation.published.execute(
        "select max(date_day) from marts.fct_daily_revenue where date_day < ?", [today]
    ).fetchall()[0]
    return None if newest is None else min(newest, today - timedelta(days=1 + wait_days))


def _has_charges(series: _Series, until: date, least: int) -> bool:
    """Check whether a usual day of the last four weeks has enough charges."""
    last = sorted(series.charges.get(until - timedelta(days=number), 0) for number in range(1, 29))
    return last[len(last) // 2] >= least


def _group(rule: Rule) -> str:
    return GROUPS[rule.options["by"]] if rule.options["by"] else "cast(null as varchar)"


def _sums(metric: str) -> str:
    if metric == MARGIN:
        return "sum(profit), sum(revenue)"
    return f"sum({quoted(metric)})"


def _value(metric: str, columns: tuple[Any, ...]) -> Decimal | None:
    """Return the exact value of a metric; None if it is unknown."""
    assert metric in DAILY_METRICS or metric in PERIOD_METRICS
    if metric == MARGIN:
        profit, revenue = columns
        if not revenue:
            return None
        return rounded(EXACT.divide(profit, revenue))
    (value,) = columns
    if isinstance(value, float):
        return rounded(Decimal(repr(value)))
    return None if value is None else Decimal(value)


def _shown(metric: str, value: Decimal, currency: str) -> str:
    if metric in COUNTS:
        return f"{value:,.0f}"
    if metric in SHARES:
        return f"{value:.1%}"
    return f"{exact_text(rounded(value, 6))} {currency.upper()}"


def _scope(currency: str, group: str | None) -> str:
    return currency if group is None else f"{currency} {short(group)}"


def _of_group(rule: Rule, group: str | None) -> str:
    return "" if group is None else f" ({rule.options['by']} {short(group)})"
