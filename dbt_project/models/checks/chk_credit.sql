{%- set balances_query -%}
select * from marts.fct_credit_days full join marts.fct_wallet_days using (user_id, paywall_id, currency, date_day)
where paid_closing + promo_closing - overdraft_closing is distinct from closing_balance
    or paid_opening + promo_opening - overdraft_opening is distinct from opening_balance
    or revenue_paid + revenue_promo + revenue_unfunded - refunds_paid - refunds_promo - refunds_unfunded is distinct from charged - refunds
{%- endset -%}
{%- set carried_query -%}
select * from (
    select *, lag(paid_closing, 1, 0) over wallet as paid_before, lag(promo_closing, 1, 0) over wallet as promo_before,
        lag(paid_used_to_date, 1, 0) over wallet + revenue_paid + overdraft_settled_paid - refunds_paid as paid_used,
        lag(promo_used_to_date, 1, 0) over wallet + revenue_promo + overdraft_settled_promo - refunds_promo as promo_used
    from marts.fct_credit_days window wallet as (partition by user_id, paywall_id, currency order by date_day)
) where paid_opening <> paid_before or promo_opening <> promo_before or paid_used_to_date <> paid_used or promo_used_to_date <> promo_used
{%- endset -%}
{%- set deferred_query -%}
select currency, sum(paid_closing) as paid, sum(promo_closing) as promo, sum(overdraft_closing) as overdraft
from (from marts.fct_credit_days qualify row_number() over (partition by user_id, paywall_id, currency order by date_day desc) = 1)
group by currency
{%- endset -%}
{%- set account_query -%}
select date_day, currency, closing, coalesce(sum(booked) over days, 0) as account
from marts.fct_deferred_revenue left join (
    select relates_to_date as date_day, currency, sum(credit - debit) as booked
    from marts.fct_journal_lines where account = 'deferred_revenue' group by all
) using (date_day, currency)
window days as (partition by currency order by date_day)
qualify closing <> account
{%- endset -%}
{%- set expiries_query -%}
select * from marts.fct_credit_days where unfunded_expired > 0
{%- endset -%}
with

credit_days as {{ recomputed() }} (select * from {{ ref('fct_credit_days') }}),

wallet_days as (select * from {{ ref('fct_wallet_days') }}),

deferred_revenue as (select * from {{ ref('fct_deferred_revenue') }}),

journal_lines as (select * from {{ ref('fct_journal_lines') }}),

booked as (

    select
        relates_to_date,
        currency,
        sum(credit - debit) as moved
    from journal_lines
    where account = 'deferred_revenue'
    group by relates_to_date, currency

),

accounts as (

    select
        deferred_revenue.closing,
        coalesce(sum(booked.moved) over (partition by deferred_revenue.currency order by deferred_revenue.date_day), 0) as balance
    from deferred_revenue
    left join booked on deferred_revenue.date_day = booked.relates_to_date and deferred_revenue.currency = booked.currency

),

wrong_accounts as (select count(*) as days from accounts where closing <> balance),

of_credit as (

    select
        user_id,
        paywall_id,
        currency,
        date_day,
        unfunded_expired,
        {{ money('paid_opening + promo_opening - overdraft_opening') }} as opening,
        {{ money('paid_closing + promo_closing - overdraft_closing') }} as closing,
        {{ money('revenue_paid + revenue_promo + revenue_unfunded - refunds_paid - refunds_promo - refunds_unfunded') }} as net_usage
    from credit_days

),

of_wallets as (

    select
        user_id,
        paywall_id,
        currency,
        date_day,
        opening_balance as opening,
        closing_balance as closing,
        {{ money('charged - refunds') }} as net_usage
    from wallet_days

),

-- Equal sums of hashes mean equal sets of days. A join of both tables would take longer.
credit_sides as (

    select
        sum({{ row_hash(['user_id', 'paywall_id', 'currency', 'date_day', 'opening', 'closing', 'net_usage']) }}) as hash_sum,
        count(*) filter (where unfunded_expired > 0) as unfunded_expiries
    from of_credit

),

wallet_sides as (

    select sum({{ row_hash(['user_id', 'paywall_id', 'currency', 'date_day', 'opening', 'closing', 'net_usage']) }}) as hash_sum
    from of_wallets

),

-- What a wallet's days add up to is where its last day ends.
wallets as (

    select
        user_id,
        paywall_id,
        currency,
        max_by(paid_closing, date_day) as paid,
        max_by(promo_closing, date_day) as promo,
        max_by(overdraft_closing, date_day) as overdraft,
        max_by(paid_used_to_date, date_day) as paid_used,
        max_by(promo_used_to_date, date_day) as promo_used,
        sum(paid_closing - paid_opening) as paid_moved,
        sum(promo_closing - promo_opening) as promo_moved,
        sum(revenue_paid + overdraft_settled_paid - refunds_paid) as paid_used_moved,
        sum(revenue_promo + overdraft_settled_promo - refunds_promo) as promo_used_moved
    from credit_days
    group by user_id, paywall_id, currency

),

currencies as (

    select
        currency,
        sum(paid) as paid,
        sum(promo) as promo,
        sum(overdraft) as overdraft,
        count(*) filter (
            where paid <> paid_moved or promo <> promo_moved or paid_used <> paid_used_moved or promo_used <> promo_used_moved
        ) as wrong_wallets
    from wallets
    group by currency

),

last_days as (

    select
        currency,
        max_by(closing, date_day) as paid,
        max_by(promo_closing, date_day) as promo,
        max_by(overdraft_closing, date_day) as overdraft
    from deferred_revenue
    group by currency

)

select
    {{ check_columns(
        'credit_equals_wallet_days',
        '0',
        'case when credit_sides.hash_sum is distinct from wallet_sides.hash_sum then 1 else 0 end',
        query_literal(balances_query),
    ) }}
from credit_sides
cross join wallet_sides

union all

select {{ check_columns('credit_is_carried_from_day_to_day', '0', 'coalesce(sum(wrong_wallets), 0)', query_literal(carried_query)) }}
from currencies

union all

select {{ check_columns('expiries_find_credit', '0', 'unfunded_expiries', query_literal(expiries_query), severity='warn') }}
from credit_sides

union all

select {{ check_columns('deferred_account_equals_deferred_revenue', '0', 'days', query_literal(account_query)) }}
from wrong_accounts

{% for kind, name in [('paid', 'deferred_revenue'), ('promo', 'promo_credit'), ('overdraft', 'overdrafts')] %}
union all

select
    {{ check_columns(
        name ~ '_equal_the_wallets',
        'currencies.' ~ kind,
        'last_days.' ~ kind,
        query_literal(deferred_query),
        scope='coalesce(currencies.currency, last_days.currency)',
    ) }}
from currencies
full join last_days on currencies.currency = last_days.currency
{% endfor %}
