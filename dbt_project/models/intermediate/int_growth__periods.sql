with

dates as (select * from {{ ref('dim_dates') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

days as (

    select dates.date_day
    from dates
    inner join settings on dates.date_day <= settings.today

),

periods as (

    {% for kind in period_kinds() %}
    select distinct
        '{{ kind }}' as period_kind,
        {{ period_start(kind, 'date_day') }} as period_start
    from days
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

ends as (

    select
        period_kind,
        period_start,
        case period_kind
            {% for kind in period_kinds() %}
            when '{{ kind }}' then {{ later_period(kind, 'period_start', 1) }}
            {% endfor %}
        end as period_end
    from periods

)

select
    ends.period_kind,
    ends.period_start,
    ends.period_end,
    ends.period_end <= settings.today as is_complete
from ends
cross join settings
