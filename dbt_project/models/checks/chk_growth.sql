{%- set movements = ['new', 'resurrected', 'expansion', 'contraction', 'churned'] -%}
{%- set rows_query -%}
select * from marts.fct_growth where revenue - previous_revenue <> new + resurrected + expansion - contraction - churned
{%- endset -%}
{%- set periods_query -%}
select * from (
    select *, lag(revenue, 1, 0::decimal(38, 12)) over (partition by period_kind, currency order by period_start) as revenue_before
    from marts.fct_growth
) where previous_revenue <> revenue_before
{%- endset -%}
{%- set users_query -%}
select period_kind, period_start, currency, movement, count(*), sum(amount), sum(revenue), sum(previous_revenue)
from marts.fct_user_movements group by all order by all
{%- endset -%}
with

growth as (select * from {{ ref('fct_growth') }}),

user_movements as (select * from {{ ref('fct_user_movements') }}),

user_days as (select * from {{ ref('fct_user_days') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

wrong_rows as (

    select count(*) as faults from growth
    where revenue - previous_revenue <> new + resurrected + expansion - contraction - churned

),

chained as (

    select
        previous_revenue,
        lag(revenue, 1, cast(0 as decimal(38, 12))) over (partition by period_kind, currency order by period_start) as revenue_before
    from growth

),

wrong_periods as (select count(*) as faults from chained where previous_revenue <> revenue_before),

movement_sums as (

    select
        period_kind,
        period_start,
        currency,
        movement,
        revenue > 0 and previous_revenue > 0 as is_retained,
        count(*) as users,
        sum(amount) as amount,
        sum(revenue) as revenue,
        sum(previous_revenue) as previous_revenue
    from user_movements
    group by period_kind, period_start, currency, movement, revenue > 0 and previous_revenue > 0

),

-- One row per period and currency, as in fct_growth.
of_users as (

    select
        period_kind,
        period_start,
        currency,
        sum(revenue) as revenue,
        sum(previous_revenue) as previous_revenue,
        {% for movement in movements %}
        sum(amount) filter (where movement = '{{ movement }}') as {{ movement }},
        {% endfor %}
        sum(users) filter (where movement = 'new') as users_new,
        sum(users) filter (where is_retained) as users_retained,
        sum(users) filter (where movement = 'resurrected') as users_resurrected,
        sum(users) filter (where movement = 'churned') as users_churned
    from movement_sums
    group by period_kind, period_start, currency

),

different as (

    select count(*) as faults
    from growth
    full join of_users
        on
            growth.period_kind = of_users.period_kind
            and growth.period_start = of_users.period_start
            and growth.currency = of_users.currency
    where
        growth.period_kind is null
        {% for measure in ['revenue', 'previous_revenue'] + movements + ['users_new', 'users_retained', 'users_resurrected', 'users_churned'] %}
        or growth.{{ measure }} <> coalesce(of_users.{{ measure }}, 0)
        {% endfor %}

),

growth_revenue as (

    select
        period_kind,
        currency,
        sum(revenue) as revenue
    from growth
    group by period_kind, currency

),

user_days_revenue as (

    select
        user_days.currency,
        sum(user_days.revenue) as revenue
    from user_days
    inner join settings on user_days.date_day <= settings.today
    group by user_days.currency

),

kinds as (

    {% for kind in period_kinds() %}
    select
        '{{ kind }}' as period_kind,
        {{ loop.index }} as position
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

expected_revenue as (

    select
        kinds.period_kind,
        user_days_revenue.currency,
        user_days_revenue.revenue
    from user_days_revenue
    cross join kinds

),

compared_revenue as (

    select
        coalesce(growth_revenue.currency, expected_revenue.currency) as currency,
        coalesce(growth_revenue.period_kind, expected_revenue.period_kind) as period_kind,
        growth_revenue.revenue as actual,
        expected_revenue.revenue as expected
    from growth_revenue
    full join expected_revenue
        on growth_revenue.period_kind = expected_revenue.period_kind and growth_revenue.currency = expected_revenue.currency

)

select {{ check_columns('growth_adds_up', '0', 'faults', query_literal(rows_query)) }}
from wrong_rows

union all

select {{ check_columns('growth_periods_follow_each_other', '0', 'faults', query_literal(periods_query)) }}
from wrong_periods

union all

select {{ check_columns('user_movements_equal_growth', '0', 'faults', query_literal(users_query)) }}
from different

union all

select
    'growth_equals_user_days' as name,
    compared_revenue.currency || ' ' || compared_revenue.period_kind as scope,
    {{ money('compared_revenue.expected') }} as expected,
    {{ money('compared_revenue.actual') }} as actual,
    'error' as severity,
    {{ text_literal("select * from marts.fct_growth where currency = '") }} || compared_revenue.currency
    || {{ text_literal("' and period_kind = '") }} || compared_revenue.period_kind
    || {{ text_literal("'; select date_day, sum(revenue) from marts.fct_user_days where currency = '") }} || compared_revenue.currency
    || {{ text_literal("' group by date_day order by date_day") }} as query,
    cast(row_number() over (order by compared_revenue.currency, kinds.position) as bigint) as ordinal
from compared_revenue
inner join kinds on compared_revenue.period_kind = kinds.period_kind
