{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched',
        meta={'day': 'month_start'},
        partition_by=day_partition('month_start'),
        touched_rows='touched_user_months',
        touched_match='present.month_start = touched.month_start and present.user_id = touched.user_id',
    )
}}

with

entries as (select * from {{ ref('fct_ledger_entries') }} where user_id is not null),

{% if is_incremental() %}
touched as (

    {{ touched_user_months() }}

),

-- The condition on days repeats the one on months, so that DuckDB can skip row groups outside them.
touched_days as (

    select dates.date_day
    from {{ ref('dim_dates') }} as dates
    semi join touched on dates.month_start = touched.month_start

),

{% else %}
-- depends_on: {{ source('build', 'touched_keys') }}
-- depends_on: {{ ref('dim_dates') }}
{% endif %}
classified as (

    select
        entries.*,
        cast(date_trunc('month', entries.entry_date) as date) as month_start,
        {{ counted_as() }}
    from entries
    {% if is_incremental() %}
    semi join touched_days on entries.entry_date = touched_days.date_day
    semi join touched on date_trunc('month', entries.entry_date) = touched.month_start and entries.user_id = touched.user_id
    {% endif %}

),

summed as (

    select
        month_start,
        user_id,
        currency,
        {{ usage_sums() }},
        {{ deposit_sums() }},
        {{ money('sum(balance_effect)') }} as balance_effect,
        min(occurred_at) as first_entry_at,
        max(occurred_at) as last_entry_at,
        min(occurred_at) filter (where is_settled_deposit) as first_deposit_at,
        min(occurred_at) filter (where is_settled_charge) as first_charge_at,
        min(entry_date) filter (where revenue > 0) as first_payer_day
    from classified
    group by month_start, user_id, currency

)

select
    ---------- grain
    month_start,
    user_id,
    currency,

    ---------- usage
    charges,
    counted_charges,

    ---------- money
    revenue,
    refunds,
    provider_cost,
    platform_fees,
    {{ money(profit('summed')) }} as profit,
    charges_without_cost,
    deposits,
    balance_effect,

    ---------- time
    first_entry_at,
    last_entry_at,
    first_deposit_at,
    first_charge_at,
    first_payer_day
from summed
