with

daily_revenue as (select * from {{ ref('fct_daily_revenue') }}),

cases as (select * from {{ ref('fct_cost_reconciliation') }}),

profits as (

    select
        cast(date_trunc('month', date_day) as date) as month_start,
        currency,
        sum(profit) as profit
    from daily_revenue
    group by cast(date_trunc('month', date_day) as date), currency

),

-- Pending cases are not compared. A case without a known cost has no difference.
differences as (

    select
        cast(date_trunc('month', usage_date) as date) as month_start,
        currency,
        sum(difference) as cost_difference
    from cases
    where status <> 'pending'
    group by cast(date_trunc('month', usage_date) as date), currency

)

select
    ---------- grain
    coalesce(profits.month_start, differences.month_start) as month_start,
    coalesce(profits.currency, differences.currency) as currency,

    ---------- money
    {{ money('profits.profit') }} as profit,
    {{ money('differences.cost_difference') }} as cost_difference,
    cast(coalesce(profits.profit, 0) - coalesce(differences.cost_difference, 0) as decimal(38, 12)) as profit_at_bill
from profits
full outer join differences on profits.month_start = differences.month_start and profits.currency = differences.currency
