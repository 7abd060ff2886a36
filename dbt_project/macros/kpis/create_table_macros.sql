{#-
    What a reader of the published file calls with dates of their own: marts.kpis(from_date, to_date) and marts.balances(as_of_date).
    Names are without a catalog, so that they hold in a copy under any file name.
-#}
{% macro create_table_macros() -%}
    {% if execute and flags.WHICH in ('run', 'build') -%}
        {{ return(adapter.dispatch('create_table_macros', 'paywall_warehouse')()) }}
    {%- endif %}
{%- endmacro %}

{#- An engine without table macros goes without. -#}
{% macro default__create_table_macros() -%}{%- endmacro %}

{% macro duckdb__create_table_macros() -%}
    {%- set tables = ['dim_dates', 'fct_balance_rollforward', 'fct_daily_revenue', 'fct_period_kpis', 'fct_user_days', 'fct_wallet_days'] -%}
    {%- for table in tables if adapter.get_relation(database=target.database, schema='marts', identifier=table) is none %}
        {{- return('') }}
    {%- endfor %}
create or replace macro marts.kpis(from_date, to_date) as table

with

periods as (

    select
        'custom' as period,
        cast(from_date as date) as period_start,
        cast(to_date as date) as period_end,
        {{ add_days('cast(from_date as date)', '-' ~ days_between('cast(from_date as date)', 'cast(to_date as date)')) }} as previous_start,
        cast(from_date as date) as previous_end

),

dates as (select * from marts.dim_dates),

daily_revenue as (select * from marts.fct_daily_revenue),

rollforward as (select * from marts.fct_balance_rollforward),

user_days as (select * from marts.fct_user_days),

new_payer_days as (select * from marts.fct_user_days),

currencies as (select distinct currency from marts.fct_period_kpis),

{{ kpi_ctes() }}

select * exclude (period) from kpis order by currency;

create or replace macro marts.balances(as_of_date) as table

select
    user_id,
    paywall_id,
    currency,
    date_day,
    closing_balance
from marts.fct_wallet_days
where date_day <= cast(as_of_date as date) and (valid_to is null or valid_to > cast(as_of_date as date))
order by user_id, paywall_id, currency;
{%- endmacro %}
