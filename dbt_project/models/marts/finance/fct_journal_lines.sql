with

restated as (select * from {{ ref('int_journal__restated') }}),

booked as (select * from {{ ref('stg_periods__booked_lines') }}),

calendar as (select * from {{ ref('stg_periods__first_open_day') }}),

-- Lines of open months. Without a closed month these are all lines.
open_lines as (

    select
        restated.relates_to_date as journal_date,
        restated.journal,
        restated.account,
        restated.debit,
        restated.credit,
        restated.currency,
        restated.relates_to_date
    from restated
    cross join calendar
    where calendar.first_open_day is null or restated.relates_to_date >= calendar.first_open_day

),

-- What every closed day should have, and what it has. A correction that was booked in a later closed month
-- relates to its day, too.
restated_and_booked as (

    select
        restated.relates_to_date,
        restated.journal,
        restated.account,
        restated.currency,
        restated.debit,
        restated.credit
    from restated
    cross join calendar
    where restated.relates_to_date < calendar.first_open_day

    union all

    select
        relates_to_date,
        journal,
        account,
        currency,
        credit as debit,
        debit as credit
    from booked

),

differences as (

    select
        relates_to_date,
        journal,
        account,
        currency,
        {{ money('sum(debit - credit)') }} as difference
    from restated_and_booked
    group by relates_to_date, journal, account, currency
    having sum(debit - credit) <> 0

),

adjustments as (

    select
        calendar.first_open_day as journal_date,
        differences.journal,
        differences.account,
        case when differences.difference > 0 then differences.difference else 0 end as debit,
        case when differences.difference < 0 then -differences.difference else 0 end as credit,
        differences.currency,
        differences.relates_to_date
    from differences
    cross join calendar

),

journal_lines as (

    {% for lines in ['booked', 'adjustments', 'open_lines'] %}
    select
        journal_date,
        journal,
        account,
        debit,
        credit,
        currency,
        relates_to_date
    from {{ lines }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select
    ---------- line
    journal_date,
    journal,
    account,

    ---------- money
    {{ money('debit') }} as debit,
    {{ money('credit') }} as credit,

    ---------- what it is about
    currency,
    relates_to_date
from journal_lines
