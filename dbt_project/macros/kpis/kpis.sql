{#-
    The KPIs of contract 4.3: a row for every row of `periods` (period, period_start, period_end, previous_start, previous_end) and every row of `currencies`.
    Both are names of CTEs of the query that this select ends; `user_days` and `dates` too.
-#}
{% macro kpi_ctes() -%}
windows as (

    select period, 'this' as part, period_start as starts_on, period_end as ends_on from periods
    union all
    select period, 'previous' as part, previous_start as starts_on, previous_end as ends_on from periods where previous_start is not null

),

-- Joining by equal days keeps the many user days out of a range join.
window_days as (

    select
        windows.period,
        windows.part,
        windows.starts_on,
        dates.date_day
    from windows
    inner join dates on windows.starts_on <= dates.date_day and windows.ends_on > dates.date_day

),

first_payments as (select distinct user_id, date_day from new_payer_days where is_new_payer),

users as (

    select
        window_days.period,
        window_days.part,
        window_days.starts_on,
        user_days.currency,
        user_days.user_id,
        sum(user_days.charges) as charges,
        sum(user_days.failed_charges) as failed_charges,
        sum(user_days.counted_charges) as counted_charges,
        sum(user_days.charges_without_cost) as charges_without_cost,
        sum(user_days.total_tokens) as total_tokens,
        sum(user_days.revenue) as revenue,
        sum(user_days.refunds) as refunds,
        sum(user_days.provider_cost) as provider_cost,
        sum(user_days.platform_fees) as platform_fees,
        sum(user_days.deposits) as deposits,
        sum(user_days.promo_deposits) as promo_deposits
    from user_days
    inner join window_days on user_days.date_day = window_days.date_day
    group by window_days.period, window_days.part, window_days.starts_on, user_days.currency, user_days.user_id

),

totals as (

    select
        users.period,
        users.part,
        users.currency,
        sum(users.charges) as charges,
        sum(users.counted_charges) as counted_charges,
        sum(users.charges_without_cost) as charges_without_cost,
        sum(users.total_tokens) as total_tokens,
        sum(users.revenue) as revenue,
        sum(users.refunds) as refunds,
        sum(users.provider_cost) as provider_cost,
        sum(users.platform_fees) as platform_fees,
        sum(users.deposits) as deposits,
        sum(users.promo_deposits) as promo_deposits,
        count(*) filter (where users.charges > 0 or users.failed_charges > 0) as active_users,
        count(*) filter (where users.revenue > 0) as active_payers,
        count(*) filter (where users.revenue > 0 and first_payments.date_day >= users.starts_on) as new_payers
    from users
    left join first_payments on users.user_id = first_payments.user_id
    group by users.period, users.part, users.currency

),

kpis as (

    select
        ---------- grain
        periods.period,
        currencies.currency,
        periods.period_start,
        periods.period_end,

        ---------- usage
        {{ whole('this.charges') }} as charges,
        {{ whole('this.total_tokens') }} as total_tokens,

        ---------- money
        {{ money('this.revenue') }} as revenue,
        {{ money('this.refunds') }} as refunds,
        {{ money('this.revenue - this.refunds') }} as net_revenue,
        {{ money('this.provider_cost') }} as provider_cost,
        {{ money('this.platform_fees') }} as platform_fees,
        {{ money('this.revenue - this.provider_cost - this.platform_fees') }} as profit,
        {{ money('this.revenue - this.refunds - this.provider_cost - this.platform_fees') }} as net_profit,
        {{ ratio('(this.revenue - this.provider_cost - this.platform_fees)', 'this.revenue') }} as margin,

        ---------- users
        {{ whole('this.active_users') }} as active_users,
        {{ whole('this.active_payers') }} as active_payers,
        {{ whole('this.new_payers') }} as new_payers,
        {{ whole('this.active_payers - this.new_payers') }} as returning_payers,
        {{ ratio('this.revenue', 'this.active_payers') }} as arpu,

        ---------- deposits
        {{ money('this.deposits') }} as deposits,
        {{ money('this.promo_deposits') }} as promo_deposits,

        {{ ratio('(this.counted_charges - this.charges_without_cost)', 'this.counted_charges') }} as cost_coverage,

        ---------- the period before
        case when periods.previous_start is not null then {{ money('previous.revenue') }} end as previous_revenue,
        case when periods.previous_start is not null then {{ money('previous.provider_cost') }} end as previous_provider_cost,
        case when periods.previous_start is not null then {{ money('previous.revenue - previous.provider_cost - previous.platform_fees') }} end as previous_profit,
        case when periods.previous_start is not null then {{ whole('previous.active_payers') }} end as previous_active_payers,
        {{ ratio('previous.revenue', 'previous.active_payers') }} as previous_arpu
    from periods
    cross join currencies
    left join totals as this
        on periods.period = this.period and currencies.currency = this.currency and this.part = 'this'
    left join totals as previous
        on periods.period = previous.period and currencies.currency = previous.currency and previous.part = 'previous'

)
{%- endmacro %}
