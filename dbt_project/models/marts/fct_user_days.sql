{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched',
        touched_rows='touched_payer_days',
        touched_match='present.date_day = touched.date_day and present.user_id = touched.user_id',
    )
}}

with

user_days as (select * from {{ ref('int_user_days') }} where counted_entries > 0),

payments as (select * from {{ ref('int_user_days') }} where revenue > 0),

{% if is_incremental() %}
touched as (

    {{ touched_payer_days() }}

),

{% else %}
-- depends_on: {{ source('build', 'touched_keys') }}
{% endif %}
first_payments as (

    select
        user_id,
        min(date_day) as date_day
    from payments
    group by user_id

)

select
    ---------- grain
    user_days.date_day,
    user_days.user_id,
    user_days.paywall_id,
    user_days.currency,

    ---------- usage
    user_days.charges,
    user_days.failed_charges,
    user_days.counted_charges,
    user_days.prompt_tokens,
    user_days.completion_tokens,
    user_days.total_tokens,

    ---------- money
    user_days.revenue,
    user_days.refunds,
    {{ money('user_days.revenue - user_days.refunds') }} as net_revenue,
    user_days.provider_cost,
    user_days.platform_fees,
    {{ money('user_days.revenue - user_days.provider_cost - user_days.platform_fees') }} as profit,
    {{ money('user_days.revenue - user_days.refunds - user_days.provider_cost - user_days.platform_fees') }} as net_profit,
    user_days.charges_without_cost,
    user_days.deposits,
    user_days.promo_deposits,

    user_days.revenue > 0 and first_payments.date_day is not null as is_new_payer
from user_days
left join first_payments on user_days.user_id = first_payments.user_id and user_days.date_day = first_payments.date_day
{%- if is_incremental() %}
semi join touched on user_days.date_day = touched.date_day and user_days.user_id = touched.user_id
{%- endif %}
