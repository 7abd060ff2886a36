with

entries as (select * from {{ ref('fct_ledger_entries') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

ledger as (select min(entry_date) as first_date from entries),

days as (

    select
        settings.today,
        {{ add_days('settings.today', 1) }} as tomorrow,
        cast(date_trunc('month', settings.today) as date) as month_start,
        least(coalesce(ledger.first_date, settings.today), settings.today) as ledger_start
    from settings
    cross join ledger

),

months as (

    select
        *,
        {{ add_months('month_start', -1) }} as last_month_start
    from days

),

periods as (

    select
        'today' as period,
        today as period_start,
        tomorrow as period_end
    from months

    union all

    select
        'yesterday' as period,
        {{ add_days('today', -1) }} as period_start,
        today as period_end
    from months

    union all

    select
        'last_7_days' as period,
        {{ add_days('tomorrow', -7) }} as period_start,
        tomorrow as period_end
    from months

    union all

    select
        'last_30_days' as period,
        {{ add_days('tomorrow', -30) }} as period_start,
        tomorrow as period_end
    from months

    union all

    select
        'last_90_days' as period,
        {{ add_days('tomorrow', -90) }} as period_start,
        tomorrow as period_end
    from months

    union all

    select
        'month_to_date' as period,
        month_start as period_start,
        tomorrow as period_end
    from months

    union all

    select
        'previous_month' as period,
        last_month_start as period_start,
        month_start as period_end
    from months

    union all

    select
        'all_time' as period,
        ledger_start as period_start,
        tomorrow as period_end
    from months

),

measured as (

    select
        *,
        {{ days_between('period_start', 'period_end') }} as days
    from periods

),

-- month_to_date is compared with the same number of days from the start of the previous month. all_time has
-- no previous period.
compared as (

    select
        measured.period,
        measured.period_start,
        measured.period_end,
        measured.days,
        case measured.period
            when 'all_time' then null
            when 'month_to_date' then months.last_month_start
            else {{ add_days('measured.period_start', '-measured.days') }}
        end as previous_start
    from measured
    cross join months

)

select
    period,
    period_start,
    period_end,
    previous_start,
    {{ add_days('previous_start', 'days') }} as previous_end
from compared
