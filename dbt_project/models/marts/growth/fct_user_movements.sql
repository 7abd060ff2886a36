{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched',
        meta={'day': 'period_start'},
        partition_by=day_partition('period_start'),
        touched_rows='replaced_user_periods',
        touched_match='present.period_kind = touched.period_kind and present.period_start = touched.period_start and present.user_id = touched.user_id',
        fresh_match='present.period_kind = fresh.period_kind and present.period_start = fresh.period_start and present.user_id = fresh.user_id'
            ~ ' and present.currency = fresh.currency',
    )
}}

with

user_days as {{ recomputed() }} (select * from {{ ref('fct_user_days') }} where revenue > 0),

user_months as (select * from {{ ref('fct_user_months') }} where first_payer_day is not null),

dates as (select * from {{ ref('dim_dates') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

{% if is_incremental() %}
touched as (

    {{ touched_user_periods() }}

),

open_periods as (

    {{ open_periods() }}

),

-- A movement needs the revenue of its period and of the one before. Sums of all users take less time than finding
-- out which of them are touched.
wanted as (

    {% for kind in period_kinds() %}
    select
        period_kind,
        period_start
    from touched
    where period_kind = '{{ kind }}'
    union
    select
        period_kind,
        {{ later_period(kind, 'period_start', -1) }} as period_start
    from touched
    where period_kind = '{{ kind }}'
    {% if not loop.last %}union{% endif %}
    {% endfor %}

),

wanted_from as (

    {% for kind in period_kinds() %}
    select
        period_kind,
        {{ later_period(kind, 'open_from', -1) }} as revenue_from
    from open_periods
    where period_kind = '{{ kind }}'
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

-- A block of 28 days is summed from its weeks.
wanted_weeks as (

    select period_start as week_start from wanted
    where period_kind = 'week'
    {% for days in (0, 7, 14, 21) %}
    union
    select {{ add_days('period_start', days) }} as week_start from wanted
    where period_kind = 'days_28'
    {% endfor %}

),

wanted_weeks_from as (select min(revenue_from) as revenue_from from wanted_from where period_kind in ('week', 'days_28')),

{% else %}
-- depends_on: {{ source('build', 'touched_keys') }}
-- depends_on: {{ ref('int_growth__periods') }}
{% endif %}
days as (

    select
        dates.date_day,
        {{ period_start('week', 'dates.date_day') }} as week_start,
        {{ period_start('month', 'dates.date_day') }} as month_start,
        {{ period_start('month', 'settings.today') }} as this_month
    from dates
    inner join settings on dates.date_day <= settings.today

),

days_of_weeks as (

    select
        days.date_day,
        days.week_start
    from days
    {% if is_incremental() %}
    cross join wanted_weeks_from
    where
        days.week_start >= wanted_weeks_from.revenue_from
        or days.week_start in (select week_start from wanted_weeks)
    {% endif %}

),

first_payments as (

    select
        user_id,
        currency,
        min(first_payer_day) as date_day
    from user_months
    group by user_id, currency

),

-- A number in place of user and currency takes a third off the time of the sums and comparisons.
payers as (

    select
        user_id,
        currency,
        date_day as first_day,
        row_number() over (order by user_id, currency) as payer_no
    from first_payments

),

week as (

    select
        payers.payer_no,
        days_of_weeks.week_start as period_start,
        {{ money('sum(user_days.revenue)') }} as revenue
    from user_days
    inner join days_of_weeks on user_days.date_day = days_of_weeks.date_day
    inner join payers on user_days.user_id = payers.user_id and user_days.currency = payers.currency
    group by payers.payer_no, days_of_weeks.week_start

),

days_28 as (

    select
        payer_no,
        {{ period_start('days_28', 'period_start') }} as period_start,
        {{ money('sum(revenue)') }} as revenue
    from week
    group by payer_no, {{ period_start('days_28', 'period_start') }}

),

-- The sums of months are known, but those of this month include days after today.
month as (

    select
        payers.payer_no,
        user_months.month_start as period_start,
        user_months.revenue
    from user_months
    inner join payers on user_months.user_id = payers.user_id and user_months.currency = payers.currency
    inner join settings on user_months.month_start < {{ period_start('month', 'settings.today') }}
    {% if is_incremental() %}
    inner join wanted_from on wanted_from.period_kind = 'month'
    where
        user_months.month_start >= wanted_from.revenue_from
        or user_months.month_start in (select period_start from wanted where period_kind = 'month')
    {% endif %}

    union all

    select
        payers.payer_no,
        days.month_start as period_start,
        {{ money('sum(user_days.revenue)') }} as revenue
    from user_days
    inner join days on user_days.date_day = days.date_day
    inner join payers on user_days.user_id = payers.user_id and user_days.currency = payers.currency
    where days.month_start = days.this_month
    group by payers.payer_no, days.month_start

),

{% for kind in period_kinds() %}
before_{{ kind }} as (

    select
        payer_no,
        {{ later_period(kind, 'period_start', 1) }} as next_start,
        revenue
    from {{ kind }}

),

{% endfor %}
revenues as (

    {% for kind in period_kinds() %}
    select
        '{{ kind }}' as period_kind,
        coalesce(present.period_start, previous.next_start) as period_start,
        coalesce(present.payer_no, previous.payer_no) as payer_no,
        {{ money('present.revenue') }} as revenue,
        {{ money('previous.revenue') }} as previous_revenue
    from {{ kind }} as present
    full join before_{{ kind }} as previous on present.payer_no = previous.payer_no and present.period_start = previous.next_start
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

compared as (

    select
        revenues.period_kind,
        revenues.period_start,
        payers.currency,
        payers.user_id,
        payers.first_day,
        revenues.revenue,
        revenues.previous_revenue
    from revenues
    inner join payers on revenues.payer_no = payers.payer_no

)

select
    ---------- grain
    compared.period_kind,
    compared.period_start,
    compared.currency,
    compared.user_id,

    case
        when compared.revenue = 0 then 'churned'
        when compared.previous_revenue = 0 and compared.first_day >= compared.period_start then 'new'
        when compared.previous_revenue = 0 then 'resurrected'
        when compared.revenue > compared.previous_revenue then 'expansion'
        when compared.revenue < compared.previous_revenue then 'contraction'
        else 'retained'
    end as movement,

    ---------- money
    compared.revenue,
    compared.previous_revenue,
    {{ money('abs(compared.revenue - compared.previous_revenue)') }} as amount
from compared
inner join settings on compared.period_start <= settings.today

{%- if is_incremental() %}
inner join open_periods on compared.period_kind = open_periods.period_kind
left join touched
    on
        compared.period_kind = touched.period_kind
        and compared.period_start = touched.period_start
        and compared.user_id = touched.user_id
where compared.period_start >= open_periods.open_from or touched.user_id is not null

union all

-- A user's first payment may move to or from a period that is not touched itself.
select
    known.period_kind,
    known.period_start,
    known.currency,
    known.user_id,
    case when known.movement = 'new' then 'resurrected' else 'new' end as movement,
    known.revenue,
    known.previous_revenue,
    known.amount
from {{ this }} as known
inner join open_periods on known.period_kind = open_periods.period_kind and known.period_start < open_periods.open_from
inner join first_payments on known.user_id = first_payments.user_id and known.currency = first_payments.currency
anti join touched
    on
        known.period_kind = touched.period_kind
        and known.period_start = touched.period_start
        and known.user_id = touched.user_id
where
    known.movement in ('new', 'resurrected')
    and (known.movement = 'new') <> (first_payments.date_day >= known.period_start)
{%- endif %}
