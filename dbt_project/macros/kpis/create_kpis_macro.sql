{#-
    Create marts.kpis: the KPIs of docs/contract.md#43-period-kpis for any range and any filters. Users are
    counted from their days. With a filter on models or types of entries, these days are summed from entries.
    Sums come from the smallest table that has the filtered columns. With `until`, the last day is summed from
    its entries before that instant.
-#}
{% macro create_kpis_macro() -%}
{%- set by_entry = 'not ' ~ are_any(['models', 'entry_types']) -%}
{%- set by_user_day = '(entry_types is not null or not ' ~ are_any_users() ~ ')' -%}
{#- What one model or type of entry was paid from is unknown: credit is used by a wallet's day as a whole. -#}
{%- set has_credit = '(' ~ are_any(['models', 'entry_types']) ~ ' and until is null)' -%}
{%- set is_limited = '(paywalls is not null or models is not null or ' ~ by_user_day ~ ')' -%}
create or replace macro marts.kpis(from_date, to_date, previous_from := null, previous_to := null, until := null, {{ filter_parameters() }}) as table

with

periods as (

    select
        'custom' as period,
        cast(from_date as date) as period_start,
        cast(to_date as date) as period_end,
        {{ previous_start() }} as previous_start,
        {{ previous_end() }} as previous_end

),

dates as (select * from marts.dim_dates),

new_payer_days as (select * from marts.fct_user_days),

currencies as (select distinct currency from marts.fct_period_kpis),

{{ listed_users() }},

{{ classified_entries('(' ~ by_entry ~ ' or until is not null)', [is_within_windows('entry_date'), '(' ~ by_entry ~ ' or ' ~ is_cut('entry_date') ~ ')', is_before_until()]) }},

entry_days as (

    select
        entry_date as date_day,
        user_id,
        currency,
        {{ usage_sums() }},
        {{ token_sums() }},
        {{ deposit_sums() }}
    from classified
    where is_counted_charge or is_usage_refund or is_settled_deposit
    group by entry_date, user_id, currency

),

-- Read twice. Keeping all columns of millions of rows would take longer, and more memory.
user_days as not materialized (

    {{ of_listed_users(
        '*',
        'marts.fct_user_days',
        ['not ' ~ by_entry, is_within_windows('date_day'), 'not ' ~ is_cut('date_day'), is_listed('paywall_id', 'paywalls')],
    ) }}
    union all by name
    select * from entry_days

),

day_sums as (

    select
        date_day,
        currency,
        {% for name in ['charges', 'counted_charges', 'charges_without_cost', 'total_tokens', 'revenue', 'refunds', 'provider_cost', 'platform_fees', 'deposits', 'promo_deposits'] -%}
        sum({{ name }}) as {{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from user_days
    where {{ is_limited }} or {{ is_cut('date_day') }}
    group by date_day, currency

),

daily_revenue as (

    select * from marts.fct_daily_revenue
    where not {{ by_user_day }} and {{ is_within_windows('date_day') }} and not {{ is_cut('date_day') }} and {{ is_listed('paywall_id', 'paywalls') }} and {{ is_listed('model_id', 'models') }}
    union all by name
    select * from day_sums
    where {{ by_user_day }} or {{ is_cut('date_day') }}

),

rollforward as (

    select
        date_day,
        currency,
        deposits,
        promo_deposits
    from marts.fct_balance_rollforward
    where not {{ is_limited }} and not {{ is_cut('date_day') }}
    union all
    select
        date_day,
        currency,
        deposits,
        promo_deposits
    from day_sums
    where {{ is_limited }} or {{ is_cut('date_day') }}

),

credit as (

    select
        date_day,
        currency,
        revenue_paid,
        revenue_promo,
        revenue_unfunded
    from marts.fct_deferred_revenue
    where {{ has_credit }} and not {{ is_limited }}
    union all
    select
        date_day,
        currency,
        sum(revenue_paid) as revenue_paid,
        sum(revenue_promo) as revenue_promo,
        sum(revenue_unfunded) as revenue_unfunded
    from (
        {{ of_listed_users(
            '*',
            'marts.fct_credit_days',
            [has_credit, is_limited, is_within_windows('date_day'), is_listed('paywall_id', 'paywalls')],
        ) }}
    )
    group by date_day, currency

),

{{ kpi_ctes(has_credit) }}

select * exclude (period, previous_start, previous_end) from kpis order by currency
{%- endmacro %}
