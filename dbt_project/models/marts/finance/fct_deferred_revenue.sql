with

rollforward as (select * from {{ ref('fct_balance_rollforward') }}),

credit as (select * from {{ ref('fct_credit_totals') }}),

journal_lines as (select * from {{ ref('fct_journal_lines') }}),

booked as (

    select
        journal_date,
        currency,
        sum(credit - debit) as moved
    from journal_lines
    where account = 'deferred_revenue'
    group by journal_date, currency

),

days as (

    select
        rollforward.date_day,
        rollforward.currency,
        {{ money('credit.paid_added') }} as added,
        {{ money('credit.revenue_paid - credit.refunds_paid') }} as used,
        {{ money('credit.revenue_paid') }} as revenue_paid,
        {{ money('credit.revenue_promo') }} as revenue_promo,
        {{ money('credit.revenue_unfunded') }} as revenue_unfunded,
        {{ money('credit.overdraft_settled_paid') }} as overdraft_settled,
        {{ money('credit.paid_returned') }} as returned,
        {{ money('credit.paid_expired') }} as expired,
        {{ money('credit.promo_moved') }} as promo_moved,
        {{ money('credit.overdraft_moved') }} as overdraft_moved,
        {{ money('booked.moved') }} as booked_moved
    from rollforward
    left join credit on rollforward.date_day = credit.date_day and rollforward.currency = credit.currency
    left join booked on rollforward.date_day = booked.journal_date and rollforward.currency = booked.currency

),

moved as (

    select
        *,
        {{ money('added - used - overdraft_settled - returned - expired') }} as paid_moved
    from days

),

balances as (

    select
        *,
        {{ money('sum(paid_moved) over through_day') }} as closing,
        {{ money('sum(promo_moved) over through_day') }} as promo_closing,
        {{ money('sum(overdraft_moved) over through_day') }} as overdraft_closing,
        {{ money('sum(booked_moved) over through_day') }} as booked_closing
    from moved
    window through_day as (partition by currency order by date_day rows between unbounded preceding and current row)

)

select
    ---------- grain
    date_day,
    currency,

    ---------- money
    {{ money('closing - paid_moved') }} as opening,
    added,
    used,
    overdraft_settled,
    returned,
    expired,
    closing,
    promo_closing,
    overdraft_closing,
    booked_closing,

    ---------- what usage was paid from
    revenue_paid,
    revenue_promo,
    revenue_unfunded
from balances
