with

periods as (select * from {{ ref('int_periods') }}),

dates as (select * from {{ ref('dim_dates') }}),

daily_revenue as (select * from {{ ref('fct_daily_revenue') }}),

rollforward as (select * from {{ ref('fct_balance_rollforward') }}),

credit as (select * from {{ ref('fct_credit_totals') }}),

user_days as (select * from {{ ref('fct_user_days') }}),

new_payer_days as (select * from {{ ref('fct_user_days') }}),

entries as (select * from {{ ref('fct_ledger_entries') }}),

currencies as (select distinct currency from entries),

{{ kpi_ctes() }}

select * from kpis
