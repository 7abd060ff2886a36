"""What must hold before anything is published: the books of the build, added up in different ways, agree to
the last unit.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from paywall_warehouse.settings import Settings
from warehouse.checks.invariant import EXACT, WARN, Invariant, Queries, invariant, none_of, number
from warehouse.checks.payment_invariants import PAYMENT_INVARIANTS, check_payments
from warehouse.checks.reject_ratio import check_rejects

MONTHLY_MEASURES = (
    "charges",
    "revenue",
    "refunds",
    "provider_cost",
    "platform_fees",
    "charges_without_cost",
    "deposits",
    "balance_effect",
)

# Measures that entries, daily revenue and user days must agree on.
SHARED_MEASURES = (
    "charges",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "revenue",
    "refunds",
    "provider_cost",
    "platform_fees",
    "charges_without_cost",
)
MOVEMENTS = (
    "deposits",
    "promo_deposits",
    "charged",
    "refunds",
    "deposit_refunds",
    "withdrawals",
    "adjustments",
)
KPI_MEASURES = (
    "charges",
    "total_tokens",
    "revenue",
    "refunds",
    "provider_cost",
    "platform_fees",
    "deposits",
    "promo_deposits",
)

LEDGER_INVARIANTS: Final = {
    "records_are_accounted_for": (
        "Accepted records that state an entry = entries + versions that a later one superseded."
    ),
    "entry_ids_are_unique": "No entry id stands twice in fct_ledger_entries.",
    "daily_revenue_equals_entries": (
        "fct_daily_revenue adds up to fct_ledger_entries, per currency and measure."
    ),
    "user_days_equal_entries": "fct_user_days adds up to fct_ledger_entries, per currency and measure.",
    "user_months_equal_entries": "fct_user_months adds up to fct_ledger_entries, per currency and measure.",
    "wallet_days_balance": (
        "closing = opening + movements on every wallet day, and opening = the closing before."
    ),
    "wallets_equal_entries": (
        "The wallets' current balances add up to the balance effects of all entries, per currency."
    ),
    "rollforward_equals_wallets": (
        "On every day the liability roll-forward shows the movements and the closing of all wallets."
    ),
    "rollforward_has_no_gaps": "The roll-forward has a row for every day and currency.",
    "all_time_kpis_equal_entries": (
        "The KPIs of all_time add up to the entries through today, per currency and measure."
    ),
    "cached_tokens_are_part_of_prompt_tokens": (
        "No entry has more cached_tokens than prompt_tokens. Where one has, its cost is not estimated. Count"
        " cached tokens in prompt_tokens too (Anthropic states them apart: prompt_tokens = input_tokens +"
        " cache_creation_input_tokens + cache_read_input_tokens), or state provider_cost, and land the"
        " entries again with a later updated_at."
    ),
    "reject_ratio": (
        "Of the records that are not published yet at most MAX_REJECT_RATIO were rejected, but for files put"
        " right or removed."
    ),
}
INVARIANTS: Final = {**LEDGER_INVARIANTS, **PAYMENT_INVARIANTS}


# Where to look where a comparison with the entries does not hold.
COMPARED_MARTS: Final = {
    "daily_revenue_equals_entries": "fct_daily_revenue",
    "user_days_equal_entries": "fct_user_days",
    "user_months_equal_entries": "fct_user_months",
    "wallets_equal_entries": "fct_wallet_days",
    "all_time_kpis_equal_entries": "fct_period_kpis",
}

MORE_CACHED = "cached_tokens > coalesce(prompt_tokens, 0)"

# One pass over the entries, those through today apart; contract 4.1 and 4.2.
ENTRY_TOTALS = f"""
select currency, entry_date <= (select today from raw.settings) as through_today,
    count(*) filter (where entry_type = 'charge' and status = 'settled') as charges,
    sum(prompt_tokens) filter (where entry_type = 'charge' and status = 'settled') as prompt_tokens,
    sum(completion_tokens) filter (where entry_type = 'charge' and status = 'settled') as completion_tokens,
    sum(total_tokens) filter (where entry_type = 'charge' and status = 'settled') as total_tokens,
    sum(amount) filter (where entry_type = 'charge' and status = 'settled') as revenue,
    sum(amount) filter (where entry_type = 'refund' and status = 'settled' and related_entry_type is distinct
        from 'deposit') as refunds,
    sum(provider_cost) filter (where entry_type = 'charge' and status in ('settled', 'failed',
        'reversed')) as provider_cost,
    sum(platform_fees) filter (where entry_type = 'charge' and status = 'settled') as platform_fees,
    count(*) filter (where entry_type = 'charge' and status in ('settled', 'failed',
        'reversed') and provider_cost is null)
        as charges_without_cost,
    sum(amount) filter (where entry_type = 'deposit' and status = 'settled' and funding = 'paid') as deposits,
    sum(amount) filter (where entry_type = 'deposit' and status = 'settled' and funding = 'promo')
        as promo_deposits,
    sum(balance_effect) as balance_effect,
    count(*) filter (where {MORE_CACHED}) as more_cached_than_prompt
from marts.fct_ledger_entries
group by all
"""

# Every wallet day beside the one before it.
BROKEN_WALLET_DAYS = """
select * from (
    select *, lag(closing_balance) over (partition by user_id, paywall_id, currency
        order by date_day) as closing_before
    from marts.fct_wallet_days
) where closing_balance <> opening_balance + deposits + promo_deposits - charged + refunds - deposit_refunds - withdrawals + adjustments
    or opening_balance <> coalesce(closing_before, 0)
"""

# The same in one pass without sorting, a quarter of the time. In every wallet the days with what they open
# with are the days after each closing with what that closed with, and the first day, which opens with
# nothing; equal sums of hashes mean equal sets of pairs.
BROKEN_WALLETS = """
select user_id, paywall_id, currency from marts.fct_wallet_days group by all
having count(*) filter (where closing_balance
        <> opening_balance + deposits + promo_deposits - charged + refunds - deposit_refunds - withdrawals + adjustments) > 0
    or sum(hash(date_day, opening_balance))
        <> hash(min(date_day), 0::decimal(38, 12)) + coalesce(sum(hash(valid_to,
            closing_balance)) filter (where valid_to is not null), 0)
"""

BROKEN_ROLLFORWARD_DAYS = """
select coalesce(rolled.currency, wallets.currency) as currency, coalesce(rolled.date_day,
    wallets.date_day) as date_day, rolled.*, wallets.*
from (
    select currency, date_day, {movements}, closing_balance - opening_balance as moved,
        opening_balance - lag(closing_balance, 1, 0::decimal(38, 12)) over (partition by currency
            order by date_day) as jumped
    from marts.fct_balance_rollforward
) as rolled
full join (
    select currency, date_day, {sums}, sum(closing_balance - opening_balance) as moved
        from marts.fct_wallet_days group by all
) as wallets on rolled.currency = wallets.currency and rolled.date_day = wallets.date_day
where rolled.jumped is distinct from 0 or rolled.moved <> coalesce(wallets.moved, 0) or {differs}
""".format(
    movements=", ".join(MOVEMENTS),
    sums=", ".join(f"sum({name}) as {name}" for name in MOVEMENTS),
    differs=" or ".join(f"rolled.{name} is distinct from coalesce(wallets.{name}, 0)" for name in MOVEMENTS),
)


def check_invariants(queries: Queries, settings: Settings) -> list[Invariant]:
    """Every invariant over the books of a build, in the order of `INVARIANTS`."""
    through_today, entries = _entry_totals(queries)
    return [
        *_records(queries),
        _unique_ids(queries),
        *_equal(
            "daily_revenue_equals_entries",
            entries,
            _totals(queries, "fct_daily_revenue", SHARED_MEASURES),
            SHARED_MEASURES,
        ),
        *_equal(
            "user_days_equal_entries",
            entries,
            _totals(queries, "fct_user_days", (*SHARED_MEASURES, "deposits", "promo_deposits")),
            (*SHARED_MEASURES, "deposits", "promo_deposits"),
        ),
        *_equal(
            "user_months_equal_entries",
            entries,
            _totals(queries, "fct_user_months", MONTHLY_MEASURES),
            MONTHLY_MEASURES,
        ),
        none_of(queries, "wallet_days_balance", "all", BROKEN_WALLET_DAYS, quick=BROKEN_WALLETS),
        *_wallets(queries, entries),
        none_of(queries, "rollforward_equals_wallets", "all", BROKEN_ROLLFORWARD_DAYS),
        *_gaps(queries),
        *_all_time(queries, through_today),
        _cached_tokens(entries),
        check_rejects(queries, settings),
        *check_payments(queries, settings),
    ]


def _records(queries: Queries) -> Iterator[Invariant]:
    accepted = number(
        queries,
        "select sum(entry_records) from raw.loaded_files where batch_seq <= (select built_through from"
        " ops.build_state)",
    )
    entries, versions = queries.execute(
        "select count(*), coalesce(sum(versions), 0) from marts.fct_ledger_entries"
    ).fetchall()[0]
    orphans = number(queries, "select sum(versions) from intermediate.int_entries__orphans")
    # `versions` counts the records behind an entry: one is shown, the others are superseded.
    superseded = versions - entries
    yield invariant(
        "records_are_accounted_for",
        "all",
        accepted,
        entries + superseded + orphans,
        "select entry_id, versions from marts.fct_ledger_entries order by versions desc; select * from"
        " raw.loaded_files",
    )


def _unique_ids(queries: Queries) -> Invariant:
    # An id can only stand twice where rows were written: everywhere after a full refresh, else at the ids
    # that the build touched.
    query = (
        "select entry_id, count(*) from marts.fct_ledger_entries where (select full_refresh from"
        " ops.build_state) or entry_id in (select entry_id from intermediate.int_touched__entries) group by"
        " entry_id having count(*) > 1"
    )
    return none_of(queries, "entry_ids_are_unique", "all", query)


def _wallets(queries: Queries, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Invariant]:
    current = _by_currency(
        queries,
        "select currency, sum(closing_balance) as balance_effect from marts.fct_wallet_days where valid_to is"
        " null group by currency",
    )
    yield from _equal("wallets_equal_entries", entries, current, ("balance_effect",))


def _gaps(queries: Queries) -> Iterator[Invariant]:
    expected = number(
        queries,
        """select (select count(distinct currency) from marts.fct_ledger_entries)
            * (select coalesce(date_diff('day', min(date_day), max(date_day)) + 1, 0)
                from marts.dim_dates)""",
    )
    actual = number(
        queries,
        "select count(*) from (select distinct currency, date_day from marts.fct_balance_rollforward)",
    )
    query = (
        "select currency, min(date_day), max(date_day), count(*) from marts.fct_balance_rollforward group by"
        " currency"
    )
    yield invariant("rollforward_has_no_gaps", "all", expected, actual, query)


def _entry_totals(queries: Queries) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The sums of the entries through today, and of all, by currency."""
    result = queries.execute(ENTRY_TOTALS)
    names = [column[0] for column in result.description or []][2:]
    through_today: dict[str, dict[str, Any]] = {}
    every: dict[str, dict[str, Any]] = {}
    for currency, is_through_today, *sums in result.fetchall():
        known = every.setdefault(currency, {})
        through_today.setdefault(currency, {})
        for name, value in zip(names, sums, strict=True):
            known[name] = EXACT.add(Decimal(known.get(name) or 0), Decimal(value or 0))
            if is_through_today:
                through_today[currency][name] = value
    return through_today, every


def _all_time(queries: Queries, expected: Mapping[str, Mapping[str, Any]]) -> Iterator[Invariant]:
    kpis = _by_currency(
        queries,
        f"select currency, {', '.join(KPI_MEASURES)} from marts.fct_period_kpis where period = 'all_time'",
    )
    yield from _equal("all_time_kpis_equal_entries", expected, kpis, KPI_MEASURES)


def _cached_tokens(entries: Mapping[str, Mapping[str, Any]]) -> Invariant:
    found = sum(sums["more_cached_than_prompt"] for sums in entries.values())
    query = (
        "select entry_id, model_id, prompt_tokens, cached_tokens, provider_cost_basis from"
        f" marts.fct_ledger_entries where {MORE_CACHED} order by entry_id"
    )
    return replace(
        invariant("cached_tokens_are_part_of_prompt_tokens", "all", 0, found, query), severity=WARN
    )


def _totals(queries: Queries, mart: str, measures: Iterable[str]) -> dict[str, dict[str, Any]]:
    sums = ", ".join(f"sum({name}) as {name}" for name in measures)
    return _by_currency(queries, f"select currency, {sums} from marts.{mart} group by currency")


def _by_currency(queries: Queries, query: str) -> dict[str, dict[str, Any]]:
    result = queries.execute(query)
    names = [column[0] for column in result.description or []]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return {row["currency"]: row for row in rows}


def _equal(
    name: str,
    expected: Mapping[str, Mapping[str, Any]],
    actual: Mapping[str, Mapping[str, Any]],
    measures: Iterable[str],
) -> Iterator[Invariant]:
    """One row for each currency and measure; a currency that one side lacks counts as zero there."""
    measures = tuple(measures)
    mart = COMPARED_MARTS[name]
    for currency in sorted({*expected, *actual}):
        for measure in measures:
            queries = (
                f"select * from marts.{table} where currency = '{currency}'"
                for table in (mart, "fct_ledger_entries")
            )
            yield invariant(
                name,
                f"{currency} {measure}",
                expected.get(currency, {}).get(measure) or 0,
                actual.get(currency, {}).get(measure) or 0,
                "; ".join(queries),
            )
