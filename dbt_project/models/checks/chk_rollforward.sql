{%- set movements = ['deposits', 'promo_deposits', 'charged', 'refunds', 'deposit_refunds', 'withdrawals', 'adjustments'] -%}
{%- set sums, differences = [], [] -%}
{%- for each in movements -%}
{%- do sums.append('sum(' ~ each ~ ') as ' ~ each) -%}
{%- do differences.append('rolled.' ~ each ~ ' is distinct from coalesce(wallets.' ~ each ~ ', 0)') -%}
{%- endfor -%}
{%- set days_query -%}
select coalesce(rolled.currency, wallets.currency) as currency, coalesce(rolled.date_day, wallets.date_day) as date_day, rolled.*, wallets.*
from (
    select currency, date_day, {{ movements | join(', ') }}, closing_balance - opening_balance as moved,
        opening_balance - lag(closing_balance, 1, 0::decimal(38, 12)) over (partition by currency order by date_day) as jumped
    from marts.fct_balance_rollforward
) as rolled
full join (
    select currency, date_day, {{ sums | join(', ') }}, sum(closing_balance - opening_balance) as moved
    from marts.fct_wallet_days group by all
) as wallets on rolled.currency = wallets.currency and rolled.date_day = wallets.date_day
where rolled.jumped is distinct from 0 or rolled.moved <> coalesce(wallets.moved, 0)
    or {{ differences | join(' or ') }}
{%- endset -%}
{%- set gaps_query -%}
select currency, min(date_day), max(date_day), count(*) from marts.fct_balance_rollforward group by currency
{%- endset -%}
with

rollforward as (select * from {{ ref('fct_balance_rollforward') }}),

wallet_days as (select * from {{ ref('fct_wallet_days') }}),

entries as (select * from {{ ref('fct_ledger_entries') }}),

dates as (select * from {{ ref('dim_dates') }}),

rolled as (

    select
        currency,
        date_day,
        {{ movements | join(',\n        ') }},
        closing_balance - opening_balance as moved,
        opening_balance - lag(closing_balance, 1, cast(0 as decimal(38, 12))) over (partition by currency order by date_day) as jumped
    from rollforward

),

moved as (

    select
        currency,
        date_day,
        {% for each in movements %}
        sum({{ each }}) as {{ each }},
        {% endfor %}
        sum(closing_balance - opening_balance) as moved
    from wallet_days
    group by currency, date_day

),

broken as (

    select count(*) as days
    from rolled
    full join moved on rolled.currency = moved.currency and rolled.date_day = moved.date_day
    where
        rolled.jumped is distinct from 0
        or rolled.moved <> coalesce(moved.moved, 0)
        {% for each in movements %}
        or rolled.{{ each }} is distinct from coalesce(moved.{{ each }}, 0)
        {% endfor %}

),

currencies as (select count(distinct currency) as currencies from entries),

calendar as (select coalesce({{ days_between('min(date_day)', 'max(date_day)') }} + 1, 0) as days from dates),

present_days as (

    select distinct
        currency,
        date_day
    from rollforward

),

present as (select count(*) as days from present_days)

select {{ check_columns('rollforward_equals_wallets', '0', 'days', query_literal(days_query)) }}
from broken

union all

select
    {{ check_columns(
        'rollforward_has_no_gaps', 'currencies.currencies * calendar.days', 'present.days', query_literal(gaps_query),
    ) }}
from currencies
cross join calendar
cross join present
