with

entries as (select * from {{ ref('fct_ledger_entries') }}),

wallet_days as (select * from {{ ref('fct_wallet_days') }}),

dates as (select * from {{ ref('dim_dates') }}),

currencies as (select distinct currency from entries),

daily as (

    select
        date_day,
        currency,
        {{ money('sum(deposits)') }} as deposits,
        {{ money('sum(promo_deposits)') }} as promo_deposits,
        {{ money('sum(charged)') }} as charged,
        {{ money('sum(refunds)') }} as refunds,
        {{ money('sum(deposit_refunds)') }} as deposit_refunds,
        {{ money('sum(withdrawals)') }} as withdrawals,
        {{ money('sum(adjustments)') }} as adjustments
    from wallet_days
    group by date_day, currency

),

every_day as (

    select
        dates.date_day,
        currencies.currency,
        {{ money('daily.deposits') }} as deposits,
        {{ money('daily.promo_deposits') }} as promo_deposits,
        {{ money('daily.charged') }} as charged,
        {{ money('daily.refunds') }} as refunds,
        {{ money('daily.deposit_refunds') }} as deposit_refunds,
        {{ money('daily.withdrawals') }} as withdrawals,
        {{ money('daily.adjustments') }} as adjustments
    from dates
    cross join currencies
    left join daily on dates.date_day = daily.date_day and currencies.currency = daily.currency

),

moved as (

    select
        *,
        {{ money('deposits + promo_deposits - charged + refunds - deposit_refunds - withdrawals + adjustments') }} as movement
    from every_day

),

balances as (

    select
        *,
        {{ money('sum(movement) over (partition by currency order by date_day rows between unbounded preceding and current row)') }} as closing_balance
    from moved

)

select
    ---------- grain
    date_day,
    currency,

    ---------- money
    {{ money('closing_balance - movement') }} as opening_balance,
    deposits,
    promo_deposits,
    charged,
    refunds,
    deposit_refunds,
    withdrawals,
    adjustments,
    closing_balance
from balances
