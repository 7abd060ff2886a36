with

cases as (select * from {{ ref('fct_reconciliation') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

dated as (

    select
        cases.*,
        {{ reporting_day('cases.first_event_at', 'settings.reporting_timezone') }} as date_day
    from cases
    cross join settings

),

-- A case counts once, in the currency of the payment. The amounts of each side are summed under their own
-- currency.
sides as (

    select
        date_day,
        rail,
        coalesce(paid_currency, ledger_currency) as currency,
        1 as cases,
        case when status = 'matched' then 1 else 0 end as matched,
        case when status = 'break' then 1 else 0 end as breaks,
        case when status = 'pending' then 1 else 0 end as pending,
        cast(0 as decimal(38, 12)) as ledger_amount,
        coalesce(paid_amount, 0) as processor_amount
    from dated

    union all

    select
        date_day,
        rail,
        ledger_currency as currency,
        0 as cases,
        0 as matched,
        0 as breaks,
        0 as pending,
        ledger_amount,
        cast(0 as decimal(38, 12)) as processor_amount
    from dated
    where ledger_currency is not null

)

select
    date_day,
    rail,
    currency,
    {{ whole('sum(cases)') }} as cases,
    {{ whole('sum(matched)') }} as matched,
    {{ whole('sum(breaks)') }} as breaks,
    {{ whole('sum(pending)') }} as pending,
    {{ money('sum(ledger_amount)') }} as ledger_amount,
    {{ money('sum(processor_amount)') }} as processor_amount,
    {{ money('sum(ledger_amount) - sum(processor_amount)') }} as difference
from sides
group by date_day, rail, currency
