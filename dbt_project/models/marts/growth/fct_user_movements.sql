{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched',
        meta={'day': 'period_start'},
        partition_by=day_partition('period_start'),
        touched_rows='replaced_user_periods',
        touched_match='present.period_kind = touched.period_kind and present.period_start = touched.period_start and present.user_id = touched.user_id',
        fresh_match='present.period_kind = fresh.period_kind and present.period_start = fresh.period_start and present.user_id = fresh.user_id'
            ~ ' and present.currency = fresh.currency and present.movement in (\'new\', \'resurrected\') and fresh.movement in (\'new\', \'resurrected\')',
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

replaced_periods as (

    select
        period_kind,
        period_start
    from touched
    union
    select
        periods.period_kind,
        periods.period_start
    from {{ ref('int_growth__periods') }} as periods
    inner join open_periods on periods.period_kind = open_periods.period_kind and periods.period_start >= open_periods.open_from

),

-- A movement needs the revenue of its period and of the one before. Sums of all users take less time than finding
-- out which of them are touched.
wanted as (

    select
        period_kind,
        period_start
    from replaced_periods
    {% for kind in period_kinds() %}
    union
    select
        period_kind,
        {{ later_period(kind, 'period_start', -1) }} as period_start
    from replaced_periods
    where period_kind = '{{ kind }}'
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
    semi join wanted_weeks on days.week_start = wanted_weeks.week_start
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

{% if is_incremental() %}
first_touched as (

    select
        user_id,
        min(entry_date) as date_day
    from {{ source('build', 'touched_keys') }}
    where user_id is not null
    group by user_id

),

-- A first payment moves from or to a touched day, so afterwards it is not before the first of these.
maybe_moved as (

    select
        first_payments.user_id,
        first_payments.currency,
        first_payments.date_day
    from first_payments
    inner join first_touched on first_payments.user_id = first_touched.user_id and first_payments.date_day >= first_touched.date_day

),

{% endif %}
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
    semi join wanted on wanted.period_kind = 'month' and user_months.month_start = wanted.period_start
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

{% if is_incremental() %}
touched_payers as (

    select
        touched.period_kind,
        touched.period_start,
        payers.payer_no
    from touched
    inner join payers on touched.user_id = payers.user_id

),

{% endif %}
replaced as (

    select
        revenues.period_kind,
        revenues.period_start,
        revenues.payer_no,
        revenues.revenue,
        revenues.previous_revenue
    from revenues
    inner join settings on revenues.period_start <= settings.today
    {% if is_incremental() %}
    inner join open_periods on revenues.period_kind = open_periods.period_kind
    left join touched_payers
        on
            revenues.period_kind = touched_payers.period_kind
            and revenues.period_start = touched_payers.period_start
            and revenues.payer_no = touched_payers.payer_no
    where revenues.period_start >= open_periods.open_from or touched_payers.payer_no is not null
    {% endif %}

),

compared as (

    select
        replaced.period_kind,
        replaced.period_start,
        payers.currency,
        payers.user_id,
        payers.first_day,
        replaced.revenue,
        replaced.previous_revenue
    from replaced
    inner join payers on replaced.payer_no = payers.payer_no

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

{%- if is_incremental() %}

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
inner join maybe_moved on known.user_id = maybe_moved.user_id and known.currency = maybe_moved.currency
anti join touched
    on
        known.period_kind = touched.period_kind
        and known.period_start = touched.period_start
        and known.user_id = touched.user_id
where
    known.movement in ('new', 'resurrected')
    and (known.movement = 'new') <> (maybe_moved.date_day >= known.period_start)
{%- endif %}
