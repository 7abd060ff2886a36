{#-
    Create marts.usage: sums of usage for any filters, in rows that can be summed over any of their keys. They
    come from the smallest table that has the requested columns. With `until`, the last day is summed from its
    entries before that instant. Entries of many users make as many groups as there are entries: with
    `by_user := false` there is one for each day.
-#}
{% macro create_usage_macro() -%}
{%- set per_user = '(coalesce(by_user, false) or not ' ~ are_any_users() ~ ')' -%}
{%- set names_user = 'coalesce(by_user, not ' ~ are_any_users() ~ ')' -%}
{%- set per_model = '(coalesce(by_model, false) or models is not null)' -%}
{%- set by_entry = '(entry_types is not null or ' ~ per_user ~ ' and ' ~ per_model ~ ')' -%}
{%- set of_range = [is_within('date_day'), is_listed('paywall_id', 'paywalls')] -%}
create or replace macro marts.usage(from_date, to_date, by_user := null, by_model := false, until := null, {{ filter_parameters() }}) as table

with

{{ listed_users() }},

{{ classified_entries('(' ~ by_entry ~ ' or until is not null)', [is_within('entry_date'), '(' ~ by_entry ~ ' or ' ~ is_cut('entry_date') ~ ')', is_before_until()]) }},

user_days as (

    {{ of_listed_users('*', 'marts.fct_user_days', ['not ' ~ by_entry, per_user, 'not ' ~ is_cut('date_day')] + of_range) }}

),

summed as (

    select
        date_day,
        paywall_id,
        case when {{ per_model }} then model_id end as model_id,
        null as user_id,
        * exclude (date_day, paywall_id, model_id)
    from marts.fct_daily_revenue
    where not {{ by_entry }} and not {{ per_user }} and not {{ is_cut('date_day') }} and {{ of_range | join(' and ') }} and {{ is_listed('model_id', 'models') }}
    union all by name
    select * replace (case when {{ names_user }} then user_id end as user_id) from user_days
    union all by name
    select
        entry_date as date_day,
        paywall_id,
        case when {{ per_model }} then coalesce(model_id, 'unknown') end as model_id,
        case when {{ names_user }} then user_id end as user_id,
        currency,
        {{ usage_sums() }},
        {{ token_sums() }}
    from classified
    where is_counted_charge or is_usage_refund
    group by all

)

select
    ---------- keys
    date_day,
    paywall_id,
    model_id,
    user_id,
    currency,

    ---------- usage
    charges,
    counted_charges,
    charges_without_cost,
    prompt_tokens,
    completion_tokens,
    total_tokens,

    ---------- money
    revenue,
    refunds,
    {{ money(net_revenue('summed')) }} as net_revenue,
    provider_cost,
    platform_fees,
    {{ money(profit('summed')) }} as profit,
    {{ money(net_profit('summed')) }} as net_profit
from summed
where counted_charges > 0 or refunds > 0
{%- endmacro %}
