"""The floor of the same outputs: the marts that a ledger fills and the datasets exported from them, by hand.

    python same_outputs.py LANDING_LEDGER_DIR OUT_DIR

`limit.py` writes five tables and one export. This writes 17 tables and 14 exports, in one DuckDB process. It
validates no record, checks nothing, keeps no lake, knows no increments and writes no manifests. A table has
the name of a mart, exactly its rows, and most of its columns. Dimensions and summaries of reconciliation are
left out. Seconds per statement go to standard output, and those per stage as JSON to its last line.

Statements rely on what `make_ledger.py` generates. All charges state their cost. All deposits are paid with
Stripe, and no payment is known. There are no adjustments and no withdrawals, everything is prepaid, and
`AS_OF` is on the day of the last entry. So promo credit comes only from refunds beyond a wallet's usage, and
`fct_credit_days` is an expression over `fct_wallet_days` instead of a state that is carried from day to day.
"""

import json
import sys
import time
from pathlib import Path

import duckdb

TEXT = (
    "id",
    "timestamp",
    "updated_at",
    "type",
    "status",
    "user",
    "paywall",
    "amount",
    "currency",
    "request_id",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "provider_cost",
    "platform_fees",
    "related_id",
)
COLUMNS = ", ".join(f"{name}: 'VARCHAR'" for name in TEXT) + ", metadata: 'JSON'"
MONEY = "decimal(38, 12)"
ZERO = f"cast(0 as {MONEY})"
SETTLED = "entry_type = 'charge' and status = 'settled'"
COUNTED = "entry_type = 'charge' and status <> 'pending'"
USAGE_REFUND = (
    "entry_type = 'refund' and status = 'settled' and related_entry_type is distinct from 'deposit'"
)
SETTLED_DEPOSIT = "entry_type = 'deposit' and status = 'settled'"
COST = f"coalesce(sum(provider_cost) filter (where {COUNTED}), 0)"
FEES = f"coalesce(sum(platform_fees) filter (where {SETTLED}), 0)"
USAGE = f"""
    count(*) filter (where {SETTLED}) as charges,
    count(*) filter (where {COUNTED}) as counted_charges,
    sum(revenue) as revenue,
    sum(refunds) as refunds,
    {COST} as provider_cost,
    {FEES} as platform_fees,
    sum(revenue) - {COST} - {FEES} as profit,
    count(*) filter (where {COUNTED} and provider_cost is null) as charges_without_cost"""
TOKENS = ", ".join(
    f"cast(coalesce(sum({name}) filter (where {SETTLED}), 0) as bigint) as {name}"
    for name in ("prompt_tokens", "completion_tokens", "total_tokens")
)
NET = "sum(revenue) - sum(refunds) as net_revenue"
DEPOSITS = f"coalesce(sum(amount) filter (where {SETTLED_DEPOSIT}), 0) as deposits"

ENTRIES = f"""
create table fct_ledger_entries as
with typed as (
    select
        id as entry_id,
        cast(timestamp as timestamptz) as occurred_at,
        cast(updated_at as timestamptz) as updated_at,
        type as entry_type,
        status,
        user as user_id,
        paywall as paywall_id,
        cast(amount as {MONEY}) as amount,
        lower(currency) as currency,
        request_id,
        model as model_id,
        cast(prompt_tokens as bigint) as prompt_tokens,
        cast(completion_tokens as bigint) as completion_tokens,
        coalesce(
            cast(total_tokens as bigint), cast(prompt_tokens as bigint) + cast(completion_tokens as bigint)
        ) as total_tokens,
        cast(cached_tokens as bigint) as cached_tokens,
        cast(reasoning_tokens as bigint) as reasoning_tokens,
        cast(provider_cost as {MONEY}) as provider_cost,
        cast(platform_fees as {MONEY}) as platform_fees,
        related_id as related_entry_id,
        metadata,
        metadata->>'payment_intent' as payment_intent_id,
        metadata->>'rail' as rail
    from read_json('{{src}}/*.jsonl', format = 'newline_delimited', columns = {{{COLUMNS}}})
),
repeated as (select entry_id from typed group by entry_id having count(*) > 1),
latest as (
    select * from typed where entry_id not in (select entry_id from repeated)
    union all by name
    select * from typed where entry_id in (select entry_id from repeated)
    qualify row_number() over (partition by entry_id order by updated_at desc) = 1
),
-- All versions of an entry have one type and one model.
related as (
    select entry_id as related_entry_id, any_value(entry_type) as related_entry_type,
        any_value(model_id) as related_model_id
    from typed
    where entry_id in (select related_entry_id from typed where related_entry_id is not null)
    group by entry_id
)
select
    latest.* replace (
        case when entry_type = 'refund' then coalesce(model_id, related_model_id) else model_id end
            as model_id
    ),
    related_entry_type,
    cast(occurred_at as date) as entry_date,
    cast(
        case
            when status <> 'settled' then 0
            when entry_type = 'charge' then -amount
            when entry_type = 'refund' and related_entry_type = 'deposit' then -amount
            else amount
        end as {MONEY}
    ) as balance_effect,
    cast(case when {SETTLED} then amount else 0 end as {MONEY}) as revenue,
    cast(case when {USAGE_REFUND} then amount else 0 end as {MONEY}) as refunds
from latest
left join related using (related_entry_id)
"""

DAILY_REVENUE = f"""
create table fct_daily_revenue as
select entry_date as date_day, paywall_id, coalesce(model_id, 'unknown') as model_id, currency, {USAGE},
    {TOKENS}, {NET}
from fct_ledger_entries
where {COUNTED} or {USAGE_REFUND}
group by all
"""

USER_DAYS = f"""
create table fct_user_days as
select entry_date as date_day, user_id, paywall_id, currency, {USAGE}, {TOKENS}, {NET}, {DEPOSITS}
from fct_ledger_entries
where {COUNTED} or {USAGE_REFUND} or {SETTLED_DEPOSIT}
group by all
"""

USER_MONTHS = f"""
create table fct_user_months as
select cast(date_trunc('month', entry_date) as date) as month_start, user_id, currency, {USAGE}, {DEPOSITS},
    sum(balance_effect) as balance_effect, min(occurred_at) as first_entry_at,
    max(occurred_at) as last_entry_at,
    min(entry_date) filter (where revenue > 0) as first_payer_day
from fct_ledger_entries
group by all
"""

WALLET_DAYS = f"""
create table fct_wallet_days as
with summed as (
    select
        user_id, paywall_id, currency, entry_date as date_day, {DEPOSITS}, sum(revenue) as charged,
        sum(refunds) as refunds,
        coalesce(
            sum(amount) filter (where entry_type = 'refund' and related_entry_type = 'deposit'), 0
        ) as deposit_refunds,
        coalesce(sum(amount) filter (where entry_type = 'withdrawal'), 0) as withdrawals,
        coalesce(sum(amount) filter (where entry_type = 'adjustment'), 0) as adjustments,
        sum(balance_effect) as movement
    from fct_ledger_entries
    where status = 'settled'
    group by all
)
select * exclude (movement), sum(movement) over w - movement as opening_balance,
    sum(movement) over w as closing_balance, sum(charged - refunds) over w as net_usage_to_date,
    lead(date_day) over w as valid_to
from summed
window w as (partition by user_id, paywall_id, currency order by date_day)
"""

ROLLFORWARD = """
create table fct_balance_rollforward as
with days as (
    select date_day, currency, sum(deposits) as deposits, sum(charged) as charged, sum(refunds) as refunds,
        sum(deposit_refunds) as deposit_refunds, sum(withdrawals) as withdrawals,
        sum(adjustments) as adjustments
    from fct_wallet_days
    group by all
)
select *, sum(deposits - charged + refunds - deposit_refunds - withdrawals + adjustments)
    over (partition by currency order by date_day) as closing_balance
from days
"""

# Windows of a wallet's days are needed only where a deposit was refunded: that may take promo credit.
CREDIT_DAYS = f"""
create table fct_credit_days as
with days as not materialized (
    select
        user_id, paywall_id, currency, date_day, deposits, deposit_refunds,
        greatest(opening_balance, 0) as credit_opening,
        greatest(-opening_balance, 0) as overdraft_opening,
        greatest(closing_balance, 0) as credit_closing,
        greatest(-closing_balance, 0) as overdraft_closing,
        least(greatest(-opening_balance, 0), deposits) as settled,
        greatest(charged - refunds, 0) as used,
        greatest(refunds - charged, 0) as refunded,
        net_usage_to_date,
        net_usage_to_date - charged + refunds as net_usage_before
    from fct_wallet_days
),
refunded_wallets as (
    select distinct user_id, paywall_id, currency from fct_wallet_days where deposit_refunds > 0
),
held as (
    select *, greatest(credit_opening + deposits - settled - deposit_refunds, 0) as held,
        greatest(deposit_refunds - credit_opening - deposits + settled, 0) as unfunded_returned
    from days
    semi join refunded_wallets using (user_id, paywall_id, currency)
),
moved as (
    select *, settled + least(used, held)
        - greatest(refunded - (overdraft_opening - settled + unfunded_returned), 0) as used_and_settled
    from held
),
summed as (
    select *, sum(used_and_settled) over wallet as used_to_date
    from moved
    window wallet as (partition by user_id, paywall_id, currency order by date_day)
),
-- Paid credit used so far, less promo credit that is held. Neither is ever above 0 beside the other. Usage
-- raises it, what is given back lowers it, and refunds of deposits leave no more promo credit than is held.
states as (
    select *,
        used_to_date + greatest(0, max(used_and_settled - settled - used_to_date - held) over wallet) as state
    from summed
    window wallet as (partition by user_id, paywall_id, currency order by date_day)
),
before as (
    select *, coalesce(lag(state) over wallet, 0) as state_before
    from states
    window wallet as (partition by user_id, paywall_id, currency order by date_day)
),
returned as (select *, greatest(-state_before - held, 0) as promo_returned from before),
both_kinds as (
    select
        user_id, paywall_id, currency, date_day, credit_opening, credit_closing, overdraft_opening,
        overdraft_closing, deposits, deposit_refunds, settled, used, refunded, unfunded_returned,
        greatest(-state_before, 0) as promo_opening,
        greatest(state_before, 0) as paid_used_before,
        greatest(-state, 0) as promo_closing,
        greatest(state, 0) as paid_used_to_date,
        held,
        promo_returned,
        -greatest(-state, 0) - sum(promo_returned) over (
            partition by user_id, paywall_id, currency order by date_day
        ) as promo_used_to_date
    from returned
    union all by name
    select
        user_id, paywall_id, currency, date_day, credit_opening, credit_closing, overdraft_opening,
        overdraft_closing, deposits, deposit_refunds, settled, used, refunded,
        {ZERO} as unfunded_returned,
        greatest(overdraft_opening - net_usage_before, 0) as promo_opening,
        greatest(net_usage_before - overdraft_opening, 0) as paid_used_before,
        greatest(overdraft_closing - net_usage_to_date, 0) as promo_closing,
        greatest(net_usage_to_date - overdraft_closing, 0) as paid_used_to_date,
        credit_opening + deposits - settled as held,
        {ZERO} as promo_returned,
        -greatest(overdraft_closing - net_usage_to_date, 0) as promo_used_to_date
    from days
    anti join refunded_wallets using (user_id, paywall_id, currency)
),
split as (
    select *,
        least(used, held) as used_credit,
        least(used, held, promo_opening - promo_returned) as revenue_promo,
        least(refunded, overdraft_opening - settled + unfunded_returned) as refunds_unfunded
    from both_kinds
),
given as (
    select *, least(refunded - refunds_unfunded, paid_used_before + settled) as refunds_paid
    from split
)
select
    user_id, paywall_id, currency, date_day,
    credit_opening - promo_opening as paid_opening,
    promo_opening,
    overdraft_opening,
    deposits as paid_added,
    {ZERO} as promo_added,
    settled as overdraft_settled_paid,
    {ZERO} as overdraft_settled_promo,
    deposit_refunds - promo_returned - unfunded_returned as paid_returned,
    promo_returned,
    unfunded_returned,
    {ZERO} as paid_expired,
    {ZERO} as promo_expired,
    used_credit - revenue_promo as revenue_paid,
    revenue_promo,
    used - used_credit as revenue_unfunded,
    refunds_paid,
    refunded - refunds_unfunded - refunds_paid as refunds_promo,
    refunds_unfunded,
    paid_used_to_date,
    promo_used_to_date,
    credit_closing - promo_closing as paid_closing,
    promo_closing,
    overdraft_closing,
    deposits as paid_added_clearing,
    deposit_refunds - promo_returned - unfunded_returned as paid_returned_clearing,
    promo_returned as promo_returned_clearing,
    unfunded_returned as unfunded_returned_clearing,
    {ZERO} as unfunded_expired
from given
"""

SUMMED_CREDIT = (
    "paid_added",
    "promo_added",
    "overdraft_settled_paid",
    "overdraft_settled_promo",
    "paid_returned",
    "promo_returned",
    "unfunded_returned",
    "paid_expired",
    "promo_expired",
    "revenue_paid",
    "revenue_promo",
    "revenue_unfunded",
    "refunds_paid",
    "refunds_promo",
    "refunds_unfunded",
    "paid_added_clearing",
    "paid_returned_clearing",
    "promo_returned_clearing",
    "unfunded_returned_clearing",
    "unfunded_expired",
)
CREDIT_TOTALS = f"""
create table fct_credit_totals as
select date_day, currency, {", ".join(f"sum({name}) as {name}" for name in SUMMED_CREDIT)},
    sum(promo_closing - promo_opening) as promo_moved,
    sum(overdraft_closing - overdraft_opening) as overdraft_moved
from fct_credit_days
group by all
"""

LINES = (
    ("receipts", "clearing", "debit", "paid_added_clearing"),
    ("receipts", "deferred_revenue", "credit", "paid_added"),
    ("usage", "deferred_revenue", "debit", "revenue_paid"),
    ("usage", "promotional_credits", "debit", "revenue_promo"),
    ("usage", "overdraft_receivable", "debit", "revenue_unfunded"),
    ("usage", "usage_revenue", "credit", "revenue_paid + revenue_promo + revenue_unfunded"),
    ("settlement", "deferred_revenue", "debit", "overdraft_settled_paid"),
    ("settlement", "overdraft_receivable", "credit", "overdraft_settled_paid"),
    ("refunds", "usage_revenue", "debit", "refunds_paid + refunds_promo + refunds_unfunded"),
    ("refunds", "deferred_revenue", "credit", "refunds_paid"),
    ("refunds", "promotional_credits", "credit", "refunds_promo"),
    ("refunds", "overdraft_receivable", "credit", "refunds_unfunded"),
    ("returns", "deferred_revenue", "debit", "paid_returned"),
    ("returns", "promotional_credits", "debit", "promo_returned"),
    ("returns", "overdraft_receivable", "debit", "unfunded_returned"),
    ("returns", "clearing", "credit", "paid_returned + promo_returned + unfunded_returned"),
    ("cogs", "provider_cost", "debit", "provider_cost"),
    ("cogs", "accrued_provider_cost", "credit", "provider_cost"),
    ("fees", "platform_fees", "debit", "platform_fees"),
    ("fees", "accrued_platform_fees", "credit", "platform_fees"),
)
LISTED = ", ".join(
    f"{{journal: '{journal}', account: '{account}', debit: {amount if side == 'debit' else ZERO},"
    f" credit: {amount if side == 'credit' else ZERO}}}"
    for journal, account, side, amount in LINES
)
JOURNAL = f"""
create table fct_journal_lines as
with costs as (
    select date_day, currency, sum(provider_cost) as provider_cost, sum(platform_fees) as platform_fees
    from fct_daily_revenue
    group by all
),
lines as (
    select date_day, currency, unnest([{LISTED}]) as line
    from (
        select date_day, currency, columns(* exclude (date_day, currency))::{MONEY}
        from fct_credit_totals full join costs using (date_day, currency)
    )
)
select date_day as journal_date, line.journal, line.account, line.debit, line.credit, currency,
    date_day as relates_to_date
from lines
where line.debit <> 0 or line.credit <> 0
"""

DEFERRED_REVENUE = """
create table fct_deferred_revenue as
with days as (
    select
        date_day, currency, paid_added as added, revenue_paid - refunds_paid as used,
        overdraft_settled_paid as overdraft_settled, paid_returned as returned, paid_expired as expired,
        paid_added - revenue_paid + refunds_paid - overdraft_settled_paid - paid_returned - paid_expired
            as moved,
        promo_moved, overdraft_moved, revenue_paid, revenue_promo, revenue_unfunded
    from fct_balance_rollforward
    join fct_credit_totals using (date_day, currency)
),
booked as (
    select journal_date as date_day, currency, sum(credit - debit) as booked_moved
    from fct_journal_lines
    where account = 'deferred_revenue'
    group by all
)
select
    date_day, currency, sum(moved) over so_far - moved as opening, added, used, overdraft_settled, returned,
    expired,
    sum(moved) over so_far as closing, sum(promo_moved) over so_far as promo_closing,
    sum(overdraft_moved) over so_far as overdraft_closing,
    coalesce(sum(booked_moved) over so_far, 0) as booked_closing, revenue_paid, revenue_promo,
    revenue_unfunded
from days
left join booked using (date_day, currency)
window so_far as (partition by currency order by date_day)
"""

COHORTS = """
create table fct_cohorts as
with first as (
    select user_id, currency,
        min(month_start) as cohort_month from fct_user_months where revenue > 0 group by all
),
sizes as (select cohort_month, currency, count(*) as cohort_size from first group by all),
happened as (
    select cohort_month, currency, month_start, count(*) filter (where revenue > 0) as active_payers,
        sum(revenue) as revenue, sum(profit) as profit
    from fct_user_months
    join first using (user_id, currency)
    where month_start >= cohort_month
    group by all
)
select
    cohort_month, currency, cast(date_diff('month', cohort_month, month_start) as integer) as months_since,
    cohort_size,
    coalesce(active_payers, 0) as active_payers, coalesce(revenue, 0) as revenue,
    sum(coalesce(revenue, 0)) over so_far as cumulative_revenue,
    sum(coalesce(profit, 0)) over so_far as cumulative_profit
from sizes
join (select distinct month_start from fct_user_months) on month_start >= cohort_month
left join happened using (cohort_month, currency, month_start)
window so_far as (partition by cohort_month, currency order by month_start)
"""

USERS = """
create table rpt_users as
select user_id, currency, sum(balance_effect) as balance, sum(revenue) as total_spend,
    sum(deposits) as total_deposits,
    cast(sum(charges) as bigint) as charges, sum(provider_cost) as provider_cost, sum(profit) as profit,
    max(last_entry_at) as last_activity_at
from fct_user_months
group by all
"""

PERIOD_DAYS = """
create temp table period_days as
with today as (select max(date_day) as today, min(date_day) as first_day from fct_balance_rollforward),
starts as (
    select unnest([
        {period: 'today', starts_on: today, ends_on: today},
        {period: 'yesterday', starts_on: today - 1, ends_on: today - 1},
        {period: 'last_7_days', starts_on: today - 6, ends_on: today},
        {period: 'last_30_days', starts_on: today - 29, ends_on: today},
        {period: 'last_90_days', starts_on: today - 89, ends_on: today},
        {period: 'month_to_date', starts_on: cast(date_trunc('month', today) as date), ends_on: today},
        {
            period: 'previous_month',
            starts_on: cast(date_trunc('month', today) - interval 1 month as date),
            ends_on: cast(date_trunc('month', today) as date) - 1
        },
        {period: 'all_time', starts_on: first_day, ends_on: today}
    ], recursive := true)
    from today
)
select period, date_day, cast(1 as bigint) << cast(dense_rank() over (order by period) as integer) as bit
from starts
join (select distinct date_day from fct_balance_rollforward) on date_day between starts_on and ends_on
"""

MODELS = """
create table rpt_models as
select model_id, currency, period, cast(sum(charges) as bigint) as charges,
    cast(sum(total_tokens) as bigint) as total_tokens,
    sum(revenue) as revenue, sum(provider_cost) as provider_cost, sum(profit) as profit
from fct_daily_revenue
join period_days using (date_day)
group by all
"""

KPIS = """
create table fct_period_kpis as
with usage as (
    select period, any_value(bit) as bit, currency, cast(sum(charges) as bigint) as charges,
        cast(sum(total_tokens) as bigint) as total_tokens,
        sum(revenue) as revenue, sum(refunds) as refunds, sum(provider_cost) as provider_cost,
        sum(platform_fees) as platform_fees, sum(profit) as profit
    from fct_daily_revenue
    join period_days using (date_day)
    group by all
),
day_bits as (select date_day, cast(sum(bit) as bigint) as bits from period_days group by all),
users as (
    select user_id, currency, bit_or(bits) filter (where charges > 0) as active,
        bit_or(bits) filter (where revenue > 0) as paying
    from fct_user_days
    join day_bits using (date_day)
    group by all
)
select period, currency, any_value(columns(usage.* exclude (period, bit, currency))),
    count(*) filter (where active & bit <> 0) as active_users,
    count(*) filter (where paying & bit <> 0) as active_payers
from usage
join users using (currency)
group by all
"""

# A user's revenue per period, beside that of the period before. Numbers for users and kinds of periods take a
# third less time than their names.
USER_MOVEMENTS = """
create table fct_user_movements as
with payers as (
    select user_id, currency, min(first_payer_day) as first_day, row_number() over () as payer
    from fct_user_months
    where first_payer_day is not null
    group by user_id, currency
),
weeks as (
    select cast(date_trunc('week', date_day) as date) as period_start, payer, sum(revenue) as revenue
    from fct_user_days
    join payers using (user_id, currency)
    where revenue > 0
    group by all
),
periods as (
    select cast(1 as tinyint) as kind, period_start, period_start + 7 as next_start, payer, revenue
    from weeks
    union all
    select cast(2 as tinyint),
        period_start - cast((period_start - date '2001-01-01') % 28 as integer) as block_start,
        block_start + 28, payer, sum(revenue)
    from weeks
    group by all
    union all
    select cast(3 as tinyint), month_start, cast(month_start + interval 1 month as date), payer, revenue
    from fct_user_months
    join payers using (user_id, currency)
    where revenue > 0
),
earlier as (select kind, next_start as period_start, payer, revenue as previous_revenue from periods),
compared as (
    select kind, period_start, payer, coalesce(revenue, 0) as revenue,
        coalesce(previous_revenue, 0) as previous_revenue
    from periods
    full join earlier using (kind, period_start, payer)
    where period_start <= (select max(date_day) from fct_user_days)
)
select
    ['week', 'days_28', 'month'][kind] as period_kind, period_start, currency, user_id,
    case
        when revenue = 0 then 'churned'
        when previous_revenue = 0 and first_day >= period_start then 'new'
        when previous_revenue = 0 then 'resurrected'
        when revenue > previous_revenue then 'expansion'
        when revenue < previous_revenue then 'contraction'
        else 'retained'
    end as movement,
    revenue, previous_revenue, abs(revenue - previous_revenue) as amount
from compared
join payers using (payer)
"""

MOVED = ("new", "resurrected", "expansion", "contraction", "churned")
GROWTH = f"""
create table fct_growth as
with summed as (
    select
        period_kind, period_start, currency,
        count(*) filter (where movement = 'new') as users_new,
        count(*) filter (where movement in ('expansion', 'contraction', 'retained')) as users_retained,
        count(*) filter (where movement = 'resurrected') as users_resurrected,
        count(*) filter (where movement = 'churned') as users_churned,
        sum(revenue) as revenue, sum(previous_revenue) as previous_revenue,
        {", ".join(f"coalesce(sum(amount) filter (where movement = '{one}'), 0) as {one}" for one in MOVED)}
    from fct_user_movements
    group by all
)
select
    *,
    cast(previous_revenue - contraction - churned as double) / nullif(cast(previous_revenue as double), 0)
        as gross_retention,
    cast(previous_revenue - contraction - churned + expansion as double)
        / nullif(cast(previous_revenue as double), 0) as net_retention,
    cast(new + resurrected + expansion as double) / nullif(cast(contraction + churned as double), 0)
        as quick_ratio,
    case period_kind
        when 'month' then cast(period_start + interval 1 month as date)
        when 'week' then period_start + 7
        else period_start + 28
    end <= (select max(date_day) from fct_balance_rollforward) as is_complete
from summed
"""

# `AS_OF` is the last second of the last day. No deposit has a payment, and none could have been loaded yet.
RECONCILIATION = f"""
create table fct_reconciliation as
with deposits as (
    select entry_id, rail, user_id, paywall_id, payment_intent_id, currency, amount, occurred_at
    from fct_ledger_entries
    where {SETTLED_DEPOSIT}
),
taken as (
    select deposits.entry_id, -sum(refunds.balance_effect) as amount, max(refunds.occurred_at) as taken_at
    from deposits
    join fct_ledger_entries as refunds
        on deposits.entry_id = refunds.related_entry_id and deposits.user_id = refunds.user_id
        and deposits.paywall_id = refunds.paywall_id and deposits.currency = refunds.currency
    where refunds.entry_type = 'refund' and refunds.status = 'settled'
    group by all
),
run as (
    select cast(max(date_day) + 1 as timestamptz) - interval 1 second as as_of from fct_balance_rollforward
)
select
    'deposit:' || entry_id as case_id, rail, user_id, payment_intent_id, cast(null as varchar) as charge_id,
    cast(null as varchar) as checkout_session_id, cast(null as varchar) as payment_id,
    [entry_id] as deposit_entry_ids, cast(null as varchar) as match_method, currency as ledger_currency,
    deposits.amount as ledger_amount, cast(null as varchar) as paid_currency,
    cast(null as {MONEY}) as paid_amount,
    cast(null as varchar) as settlement_currency, cast(null as {MONEY}) as settled_gross,
    cast(null as {MONEY}) as settled_fee, cast(null as {MONEY}) as settled_net,
    cast(null as {MONEY}) as refunded_amount, cast(null as {MONEY}) as disputed_amount,
    coalesce(taken.amount, {ZERO}) as clawed_back_amount, false as has_unknown_return,
    deposits.amount as difference, deposits.amount - coalesce(taken.amount, 0) as net_credit,
    cast(null as {MONEY}) as net_payment, occurred_at as first_event_at,
    greatest(occurred_at, taken_at) as last_event_at,
    cast((epoch_us(as_of) - epoch_us(occurred_at)) // 86400000000 as integer) as age_days,
    case when net_credit <= 0 and -net_credit < 0.01 then 'matched' else 'pending' end as status,
    cast(null as varchar) as break_type, cast(null as integer) as priority,
    cast(null as timestamptz) as broken_since
from deposits
cross join run
left join taken using (entry_id)
"""

# Order and compression are those of the pipeline's exports. With `partition_by`, DuckDB does not promise the
# order within a day: a few days are the work of two threads, and have two sorted pieces in their file.
PARQUET = "format parquet, compression zstd, compression_level 3, row_group_size 122880"
BY_DAY = (
    ("ledger", "fct_ledger_entries", "entry_date", "entry_id"),
    ("daily_revenue", "fct_daily_revenue", "date_day", "paywall_id, model_id, currency"),
    ("user_days", "fct_user_days", "date_day", "user_id, paywall_id, currency"),
    ("wallet_days", "fct_wallet_days", "date_day", "user_id, paywall_id, currency"),
    ("balance_rollforward", "fct_balance_rollforward", "date_day", "currency"),
    ("credit_days", "fct_credit_days", "date_day", "user_id, paywall_id, currency"),
    ("journal", "fct_journal_lines", "journal_date", "journal, account, currency, relates_to_date, debit"),
)
SNAPSHOTS = (
    ("users", "rpt_users", "user_id, currency"),
    ("models", "rpt_models", "model_id, currency, period"),
    ("cohorts", "fct_cohorts", "cohort_month, currency, months_since"),
    ("period_kpis", "fct_period_kpis", "period, currency"),
    ("deferred_revenue", "fct_deferred_revenue", "date_day, currency"),
    ("growth", "fct_growth", "period_kind, period_start, currency"),
    ("reconciliation", "fct_reconciliation", "case_id"),
)

STAGES = {
    "ingest": {"ledger entries": ENTRIES},
    "tables": {
        "daily revenue": DAILY_REVENUE,
        "user days": USER_DAYS,
        "user months": USER_MONTHS,
        "wallet days": WALLET_DAYS,
        "roll-forward": ROLLFORWARD,
        "credit days": CREDIT_DAYS,
        "credit totals": CREDIT_TOTALS,
        "journal": JOURNAL,
        "deferred revenue": DEFERRED_REVENUE,
        "cohorts": COHORTS,
        "users": USERS,
        "days of periods": PERIOD_DAYS,
        "models": MODELS,
        "KPIs": KPIS,
        "user movements": USER_MOVEMENTS,
        "growth": GROWTH,
        "reconciliation": RECONCILIATION,
    },
    "exports": {
        **{
            f"export {name}": f"copy (select * from {table} order by {day}, {order}) to '{{out}}/{name}'"
            f" ({PARQUET}, partition_by ({day}), overwrite_or_ignore)"
            for name, table, day, order in BY_DAY
        },
        **{
            f"export {name}": f"copy (select * from {table} order by {order}) to '{{out}}/{name}.parquet'"
            f" ({PARQUET})"
            for name, table, order in SNAPSHOTS
        },
    },
}


def main() -> None:
    """Write all tables and exports, and print the seconds."""
    src, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    db = duckdb.connect(str(out / "same_outputs.duckdb"))
    db.execute("set TimeZone = 'UTC'; set preserve_insertion_order = false; set memory_limit = '4GB'")
    stages = {}
    for stage, statements in STAGES.items():
        stage_began = time.perf_counter()
        for name, sql in statements.items():
            began = time.perf_counter()
            db.execute(sql.replace("{src}", str(src)).replace("{out}", str(out)))
            print(f"{name:28s} {time.perf_counter() - began:8.2f} s", flush=True)
        stages[stage] = time.perf_counter() - stage_began
    db.execute("checkpoint")
    print(json.dumps(stages))


if __name__ == "__main__":
    main()
