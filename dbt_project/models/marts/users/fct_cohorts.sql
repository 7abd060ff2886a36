with

known_months as (select * from {{ ref('fct_user_months') }}),

dates as (select * from {{ ref('dim_dates') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

counted_months as (select * from {{ ref('fct_user_months') }}),

{{ cohort_ctes() }}

select * from followed
