{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched',
        meta={'day': 'date_day'},
        partition_by=day_partition('date_day'),
        touched_rows='touched_wallets',
        touched_match='present.user_id = touched.user_id and present.paywall_id = touched.paywall_id and present.currency = touched.currency'
            ~ ' and present.date_day >= touched.start_date',
    )
}}

with

entries as (select * from {{ ref('fct_ledger_entries') }} where status = 'settled' and user_id is not null and billing = 'prepaid'),

{% if is_incremental() %}
touched_wallets as (

    {{ touched_wallets() }}

),

touched_days as (

    {{ touched_wallet_days() }}

),

{% else %}
-- depends_on: {{ source('build', 'touched_keys') }}
{% endif %}
summed as (

    select
        entries.user_id,
        entries.paywall_id,
        entries.currency,
        entries.entry_date as date_day,
        {{ money("sum(entries.amount) filter (where entries.entry_type = 'deposit' and entries.funding = 'paid')") }} as deposits,
        {{ money("sum(entries.amount) filter (where entries.entry_type = 'deposit' and entries.funding = 'promo')") }} as promo_deposits,
        {{ money('sum(entries.revenue)') }} as charged,
        {{ money('sum(entries.refunds)') }} as refunds,
        {{ money("sum(entries.amount) filter (where entries.entry_type = 'refund' and entries.related_entry_type = 'deposit')") }} as deposit_refunds,
        {{ money("sum(entries.amount) filter (where entries.entry_type = 'withdrawal')") }} as withdrawals,
        {{ money("sum(entries.amount) filter (where entries.entry_type = 'adjustment')") }} as adjustments
    from entries
    {% if is_incremental() %}
    semi join touched_days
        on
            entries.entry_date = touched_days.entry_date
            and entries.user_id = touched_days.user_id
            and entries.paywall_id = touched_days.paywall_id
            and entries.currency = touched_days.currency
    {% endif %}
    group by entries.user_id, entries.paywall_id, entries.currency, entries.entry_date

),

{% if is_incremental() %}
now_and_before as (

    select
        *,
        true as is_now
    from summed

    union all

    select
        user_id,
        paywall_id,
        currency,
        date_day,
        deposits,
        promo_deposits,
        charged,
        refunds,
        deposit_refunds,
        withdrawals,
        adjustments,
        false as is_now
    from {{ this }}

),

-- From each touched wallet's start date on, touched days have their new values and the other days keep
-- theirs. Touched wallets are joined once, because Spark computes a CTE again at every reference.
days as (

    select
        now_and_before.*,
        touched_wallets.opening_balance as balance_before,
        touched_wallets.days_before,
        touched_wallets.net_usage_before
    from now_and_before
    inner join touched_wallets
        on
            now_and_before.user_id = touched_wallets.user_id
            and now_and_before.paywall_id = touched_wallets.paywall_id
            and now_and_before.currency = touched_wallets.currency
            and now_and_before.date_day >= touched_wallets.start_date
    anti join touched_days
        on
            not now_and_before.is_now
            and now_and_before.date_day = touched_days.entry_date
            and now_and_before.user_id = touched_days.user_id
            and now_and_before.paywall_id = touched_days.paywall_id
            and now_and_before.currency = touched_days.currency

),

{% else %}
days as (

    select
        *,
        0 as balance_before,
        0 as days_before,
        0 as net_usage_before
    from summed

),

{% endif %}
movements as (

    select
        *,
        {{ money('deposits + promo_deposits - charged + refunds - deposit_refunds - withdrawals + adjustments') }} as movement
    from days

),

balances as (

    select
        *,
        {{ money('balance_before + sum(movement) over wallet') }} as closing_balance,
        {{ money('net_usage_before + sum(charged - refunds) over wallet') }} as net_usage_to_date,
        lead(date_day) over (partition by user_id, paywall_id, currency order by date_day) as valid_to,
        days_before + row_number() over (partition by user_id, paywall_id, currency order by date_day) as day_number
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
    net_usage_to_date,

    valid_to,
    cast(day_number as integer) as day_number
from balances
