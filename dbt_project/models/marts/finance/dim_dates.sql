with

entries as (select * from {{ ref('fct_ledger_entries') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

ledger as (

    select
        min(entry_date) as first_date,
        max(entry_date) as last_date
    from entries

),

span as (

    select
        coalesce(least(ledger.first_date, settings.today), settings.today) as first_date,
        coalesce(greatest(ledger.last_date, settings.today), settings.today) as last_date
    from ledger
    cross join settings

),

days as (select {{ day_series('first_date', 'last_date') }} as date_day from span),

-- 2001-01-01 was a Monday.
weekdays as (

    select
        date_day,
        cast(1 + ((({{ days_between("date '2001-01-01'", 'date_day') }} % 7) + 7) % 7) as integer) as weekday
    from days

),

-- An ISO week belongs to the year of its Thursday.
thursdays as (

    select
        date_day,
        weekday,
        {{ add_days('date_day', '4 - weekday') }} as thursday
    from weekdays

)

select
    date_day,
    cast(extract(year from thursday) as integer) as iso_year,
    cast(extract(week from date_day) as integer) as iso_week,
    {{ add_days('date_day', '1 - weekday') }} as week_start,
    weekday,
    cast(extract(day from date_day) as integer) as day_of_month,
    cast(extract(month from date_day) as integer) as month,
    cast(date_trunc('month', date_day) as date) as month_start,
    cast(extract(quarter from date_day) as integer) as quarter,
    cast(date_trunc('quarter', date_day) as date) as quarter_start,
    cast(extract(year from date_day) as integer) as year
from thursdays
