{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched',
        touched_rows='touched_wallets',
        touched_match='present.user_id = touched.user_id and present.paywall_id = touched.paywall_id and present.currency = touched.currency'
            ~ ' and present.date_day >= touched.start_date',
    )
}}

with

user_days as (select * from {{ ref('int_user_days') }} where settled_entries > 0),

{% if is_incremental() %}
touched as (

    {{ touched_wallets() }}

),

{% else %}
-- depends_on: {{ source('build', 'touched_keys') }}
{% endif %}
movements as (

    select
        user_days.user_id,
        user_days.paywall_id,
        user_days.currency,
        user_days.date_day,
        user_days.deposits,
        user_days.promo_deposits,
        user_days.revenue as charged,
        user_days.refunds,
        user_days.deposit_refunds,
        user_days.withdrawals,
        user_days.adjustments,
        {{ money('user_days.deposits + user_days.promo_deposits - user_days.revenue + user_days.refunds'
            ~ ' - user_days.deposit_refunds - user_days.withdrawals + user_days.adjustments') }} as movement,
        {{ 'touched.opening_balance' if is_incremental() else '0' }} as balance_before
    from user_days
    {% if is_incremental() %}
    inner join touched
        on
            user_days.user_id = touched.user_id
            and user_days.paywall_id = touched.paywall_id
            and user_days.currency = touched.currency
            and user_days.date_day >= touched.start_date
    {% endif %}

),

balances as (

    select
        *,
        {{ money('balance_before + sum(movement) over wallet') }} as closing_balance,
        lead(date_day) over (partition by user_id, paywall_id, currency order by date_day) as valid_to
    from movements
    window wallet as (partition by user_id, paywall_id, currency order by date_day rows between unbounded preceding and current row)

)

select
    ---------- grain
    user_id,
    paywall_id,
    currency,
    date_day,

    ---------- money
    {{ money('closing_balance - movement') }} as opening_balance,
    deposits,
    promo_deposits,
    charged,
    refunds,
    deposit_refunds,
    withdrawals,
    adjustments,
    closing_balance,

    valid_to
from balances
