with

daily_revenue as (select * from {{ ref('fct_daily_revenue') }}),

periods as (select * from {{ ref('int_periods') }}),

dates as (select * from {{ ref('dim_dates') }}),

period_days as (

    select
        periods.period,
        dates.date_day
    from periods
    inner join dates on periods.period_start <= dates.date_day and periods.period_end > dates.date_day

),

models as (

    select
        daily_revenue.model_id,
        daily_revenue.currency,
        period_days.period,
        {{ whole('sum(daily_revenue.charges)') }} as charges,
        {{ whole('sum(daily_revenue.total_tokens)') }} as total_tokens,
        {{ money('sum(daily_revenue.revenue)') }} as revenue,
        {{ money('sum(daily_revenue.provider_cost)') }} as provider_cost,
        {{ money('sum(daily_revenue.profit)') }} as profit
    from daily_revenue
    inner join period_days on daily_revenue.date_day = period_days.date_day
    group by daily_revenue.model_id, daily_revenue.currency, period_days.period

)

select
    ---------- grain
    model_id,
    currency,
    period,

    ---------- usage
    charges,
    total_tokens,

    ---------- money
    revenue,
    provider_cost,
    profit,
    {{ ratio('profit', 'revenue') }} as margin,
    {{ ratio('revenue', 'sum(revenue) over (partition by currency, period)') }} as revenue_share
from models
