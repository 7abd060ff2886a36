{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched',
        touched_rows='touched_user_days',
        touched_match='present.date_day = touched.entry_date and present.user_id = touched.user_id',
    )
}}

with

entries as (select * from {{ ref('fct_ledger_entries') }} where user_id is not null),

{% if is_incremental() %}
touched as (

    {{ touched_user_days() }}

),

{% else %}
-- depends_on: {{ source('build', 'touched_keys') }}
{% endif %}
counted as (

    select
        entries.*,
        entries.entry_type = 'charge' and entries.status in ('settled', 'failed', 'reversed') as is_counted_charge,
        entries.entry_type = 'charge' and entries.status = 'settled' as is_settled_charge,
        entries.entry_type = 'deposit' and entries.status = 'settled' as is_settled_deposit,
        entries.entry_type = 'refund' and entries.status = 'settled' and coalesce(entries.related_entry_type, 'unknown') <> 'deposit' as is_usage_refund,
        entries.entry_type = 'refund' and entries.status = 'settled' and coalesce(entries.related_entry_type, 'unknown') = 'deposit' as is_deposit_refund
    from entries
    {% if is_incremental() %}
    semi join touched on entries.entry_date = touched.entry_date and entries.user_id = touched.user_id
    {% endif %}

)

select
    ---------- grain
    entry_date as date_day,
    user_id,
    paywall_id,
    currency,

    ---------- counts
    cast(count(*) as bigint) as entries,
    cast(count(*) filter (where status = 'settled') as bigint) as settled_entries,
    cast(count(*) filter (where is_counted_charge or is_usage_refund or is_settled_deposit) as bigint) as counted_entries,
    cast(count(*) filter (where is_settled_charge) as bigint) as charges,
    cast(count(*) filter (where entry_type = 'charge' and status = 'failed') as bigint) as failed_charges,
    cast(count(*) filter (where is_counted_charge) as bigint) as counted_charges,
    cast(count(*) filter (where is_counted_charge and provider_cost is null) as bigint) as charges_without_cost,

    ---------- tokens
    {{ whole('sum(prompt_tokens) filter (where is_settled_charge)') }} as prompt_tokens,
    {{ whole('sum(completion_tokens) filter (where is_settled_charge)') }} as completion_tokens,
    {{ whole('sum(total_tokens) filter (where is_settled_charge)') }} as total_tokens,

    ---------- usage
    {{ money('sum(revenue)') }} as revenue,
    {{ money('sum(refunds)') }} as refunds,
    {{ money('sum(provider_cost) filter (where is_counted_charge)') }} as provider_cost,
    {{ money('sum(platform_fees) filter (where is_settled_charge)') }} as platform_fees,

    ---------- other movements
    {{ money("sum(amount) filter (where is_settled_deposit and funding = 'paid')") }} as deposits,
    {{ money("sum(amount) filter (where is_settled_deposit and funding = 'promo')") }} as promo_deposits,
    {{ money('sum(amount) filter (where is_deposit_refund)') }} as deposit_refunds,
    {{ money("sum(amount) filter (where entry_type = 'withdrawal' and status = 'settled')") }} as withdrawals,
    {{ money("sum(amount) filter (where entry_type = 'adjustment' and status = 'settled')") }} as adjustments,

    ---------- time
    min(occurred_at) as first_entry_at,
    max(occurred_at) as last_entry_at,
    min(occurred_at) filter (where is_settled_deposit) as first_deposit_at,
    min(occurred_at) filter (where is_settled_charge) as first_charge_at
from counted
group by entry_date, user_id, paywall_id, currency
