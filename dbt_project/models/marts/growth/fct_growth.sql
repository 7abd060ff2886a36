with

periods as (select * from {{ ref('int_growth__periods') }}),

entries as (select * from {{ ref('fct_ledger_entries') }}),

movements as (select * from {{ ref('fct_user_movements') }}),

currencies as (select distinct currency from entries),

-- Summed by movement first: conditions on a few sums take less time than conditions on every row.
movement_sums as (

    select
        period_kind,
        period_start,
        currency,
        movement,
        count(*) as users,
        sum(amount) as amount,
        sum(revenue) as revenue,
        sum(previous_revenue) as previous_revenue
    from movements
    group by period_kind, period_start, currency, movement

),

summed as (

    select
        period_kind,
        period_start,
        currency,
        sum(users) filter (where movement = 'new') as users_new,
        sum(users) filter (where movement in ('expansion', 'contraction', 'retained')) as users_retained,
        sum(users) filter (where movement = 'resurrected') as users_resurrected,
        sum(users) filter (where movement = 'churned') as users_churned,
        {% for movement in ['new', 'resurrected', 'expansion', 'contraction', 'churned'] %}
        sum(amount) filter (where movement = '{{ movement }}') as {{ movement }},
        {% endfor %}
        sum(revenue) as revenue,
        sum(previous_revenue) as previous_revenue
    from movement_sums
    group by period_kind, period_start, currency

),

every_period as (

    select
        periods.period_kind,
        periods.period_start,
        currencies.currency,
        {{ whole('summed.users_new') }} as users_new,
        {{ whole('summed.users_retained') }} as users_retained,
        {{ whole('summed.users_resurrected') }} as users_resurrected,
        {{ whole('summed.users_churned') }} as users_churned,
        {{ money('summed.revenue') }} as revenue,
        {{ money('summed.previous_revenue') }} as previous_revenue,
        {{ money('summed.new') }} as new,
        {{ money('summed.resurrected') }} as resurrected,
        {{ money('summed.expansion') }} as expansion,
        {{ money('summed.contraction') }} as contraction,
        {{ money('summed.churned') }} as churned,
        periods.is_complete
    from periods
    cross join currencies
    left join summed
        on
            periods.period_kind = summed.period_kind
            and periods.period_start = summed.period_start
            and currencies.currency = summed.currency

)

select
    ---------- grain
    period_kind,
    period_start,
    currency,

    ---------- users
    users_new,
    users_retained,
    users_resurrected,
    users_churned,

    ---------- money
    revenue,
    previous_revenue,
    new,
    resurrected,
    expansion,
    contraction,
    churned,

    ---------- ratios
    {{ ratio('(previous_revenue - contraction - churned)', 'previous_revenue') }} as gross_retention,
    {{ ratio('(previous_revenue - contraction - churned + expansion)', 'previous_revenue') }} as net_retention,
    {{ ratio('(new + resurrected + expansion)', '(contraction + churned)') }} as quick_ratio,

    is_complete
from every_period
