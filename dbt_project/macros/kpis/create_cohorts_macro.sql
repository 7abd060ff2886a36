{#-
    Create marts.cohorts: `fct_cohorts` of the listed users, with the values within the filters on entries.
    The values come from months of users. With a filter on paywalls they come from days of users, and with one
    on models or types from entries.
-#}
{% macro create_cohorts_macro() -%}
{%- set by_entry = 'not ' ~ are_any(['models', 'entry_types']) -%}
{%- set by_day = '(paywalls is not null and ' ~ are_any(['models', 'entry_types']) ~ ')' -%}
{%- set by_month = are_any(['paywalls', 'models', 'entry_types']) -%}
create or replace macro marts.cohorts({{ filter_parameters() }}) as table

with

dates as (select * from marts.dim_dates),

settings as (select max(period_start) as today from marts.fct_period_kpis where period = 'today'),

{{ listed_users() }},

known_months as (

    {{ of_listed_users('*', 'marts.fct_user_months', ['revenue > 0']) }}

),

{{ classified_entries(by_entry) }},

counted_months as (

    select
        user_id,
        currency,
        month_start,
        revenue,
        profit
    from marts.fct_user_months
    where {{ by_month }}
    union all
    select
        user_id,
        currency,
        cast(date_trunc('month', date_day) as date) as month_start,
        {{ money('sum(revenue)') }} as revenue,
        {{ money('sum(profit)') }} as profit
    from marts.fct_user_days
    where {{ by_day }} and {{ is_listed('paywall_id', 'paywalls') }}
    group by all
    union all
    select
        user_id,
        currency,
        month_start,
        revenue,
        {{ profit('summed') }} as profit
    from (
        select
            user_id,
            currency,
            cast(date_trunc('month', entry_date) as date) as month_start,
            {{ usage_sums() }}
        from classified
        where is_counted_charge
        group by all
    ) as summed

),

{{ cohort_ctes() }}

select * from followed order by cohort_month, currency, months_since
{%- endmacro %}
