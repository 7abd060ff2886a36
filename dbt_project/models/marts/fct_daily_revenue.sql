{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched',
        touched_rows='touched_days',
        touched_match='present.date_day = touched.entry_date',
    )
}}

with

entries as (select * from {{ ref('fct_ledger_entries') }}),

{% if is_incremental() %}
touched as (

    {{ touched_days() }}

),

{% else %}
-- depends_on: {{ source('build', 'touched_keys') }}
{% endif %}
classified as (

    select
        entries.*,
        {{ counted_as() }}
    from entries
    {% if is_incremental() %}
    semi join touched on entries.entry_date = touched.entry_date
    {% endif %}

),

summed as (

    select
        entry_date as date_day,
        paywall_id,
        coalesce(model_id, 'unknown') as model_id,
        currency,
        {{ usage_sums() }},
        {{ whole('sum(prompt_tokens) filter (where is_settled_charge)') }} as prompt_tokens,
        {{ whole('sum(completion_tokens) filter (where is_settled_charge)') }} as completion_tokens,
        {{ whole('sum(total_tokens) filter (where is_settled_charge)') }} as total_tokens
    from classified
    where is_counted_charge or is_usage_refund
    group by entry_date, paywall_id, coalesce(model_id, 'unknown'), currency

)

select
    ---------- grain
    date_day,
    paywall_id,
    model_id,
    currency,

    ---------- usage
    charges,
    counted_charges,
    prompt_tokens,
    completion_tokens,
    total_tokens,

    ---------- money
    revenue,
    refunds,
    {{ money('revenue - refunds') }} as net_revenue,
    provider_cost,
    platform_fees,
    {{ money('revenue - provider_cost - platform_fees') }} as profit,
    {{ money('revenue - refunds - provider_cost - platform_fees') }} as net_profit,
    charges_without_cost
from summed
