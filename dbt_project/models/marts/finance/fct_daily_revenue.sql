{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched',
        meta={'day': 'date_day'},
        partition_by=day_partition('date_day'),
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
        {{ token_sums() }}
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
    {{ money(net_revenue('summed')) }} as net_revenue,
    provider_cost,
    platform_fees,
    {{ money(profit('summed')) }} as profit,
    {{ money(net_profit('summed')) }} as net_profit,
    charges_without_cost
from summed
