{#-
    Return the CTEs of the KPIs (docs/contract.md#43-period-kpis), with a row for every row of `periods`
    (period, period_start, period_end, previous_start, previous_end) and every row of `currencies`. Both are
    CTEs of the query that contains this macro. So are `dates`, `daily_revenue`, `rollforward`, `credit`,
    `user_days` and `new_payer_days`, which has the same rows as `user_days`. Where the condition `has_credit`
    does not hold, what usage was paid from is unknown. Sums are computed from days, in the smallest
    tables that have them. Only users are counted from user days, in one pass for all periods.
-#}
{% macro kpi_ctes(has_credit='true') -%}
numbered_windows as (

    select
        *,
        {{ set_bit('row_number() over (order by period, part) - 1') }} as bit
    from (
        select period, 'this' as part, period_start as starts_on, period_end as ends_on from periods
        union all
        select period, 'previous' as part, previous_start as starts_on, previous_end as ends_on from periods where previous_start is not null
    ) as windows

),

-- Joining by equal days keeps the many user days out of a range join.
window_days as (

    select
        numbered_windows.period,
        numbered_windows.part,
        numbered_windows.bit,
        dates.date_day
    from numbered_windows
    inner join dates on numbered_windows.starts_on <= dates.date_day and numbered_windows.ends_on > dates.date_day

),

usage as (

    select
        window_days.period,
        window_days.part,
        daily_revenue.currency,
        sum(daily_revenue.charges) as charges,
        sum(daily_revenue.counted_charges) as counted_charges,
        sum(daily_revenue.charges_without_cost) as charges_without_cost,
        sum(daily_revenue.total_tokens) as total_tokens,
        sum(daily_revenue.revenue) as revenue,
        sum(daily_revenue.refunds) as refunds,
        sum(daily_revenue.provider_cost) as provider_cost,
        sum(daily_revenue.platform_fees) as platform_fees
    from daily_revenue
    inner join window_days on daily_revenue.date_day = window_days.date_day
    group by window_days.period, window_days.part, daily_revenue.currency

),

paid_in as (

    select
        window_days.period,
        rollforward.currency,
        sum(rollforward.deposits) as deposits,
        sum(rollforward.promo_deposits) as promo_deposits
    from rollforward
    inner join window_days on rollforward.date_day = window_days.date_day
    where window_days.part = 'this'
    group by window_days.period, rollforward.currency

),

paid_from as (

    select
        window_days.period,
        credit.currency,
        sum(credit.revenue_paid) as revenue_paid,
        sum(credit.revenue_promo) as revenue_promo,
        sum(credit.revenue_unfunded) as revenue_unfunded
    from credit
    inner join window_days on credit.date_day = window_days.date_day
    where window_days.part = 'this'
    group by window_days.period, credit.currency

),

-- The windows that contain a day, one bit each.
day_windows as (

    select
        date_day,
        cast(sum(bit) as bigint) as bits
    from window_days
    group by date_day

),

-- The windows in which a user was active, paid, or paid for the first time ever in any currency, one bit
-- each.
users as (

    select
        user_days.currency,
        user_days.user_id,
        bit_or(day_windows.bits) filter (where user_days.charges > 0 or user_days.failed_charges > 0) as active_bits,
        bit_or(day_windows.bits) filter (where user_days.revenue > 0) as payer_bits
    from user_days
    inner join day_windows on user_days.date_day = day_windows.date_day
    group by user_days.currency, user_days.user_id

),

first_payments as (

    select
        new_payer_days.user_id,
        bit_or(day_windows.bits) as first_bits
    from new_payer_days
    inner join day_windows on new_payer_days.date_day = day_windows.date_day
    where new_payer_days.is_new_payer
    group by new_payer_days.user_id

),

user_windows as (

    select
        users.currency,
        users.active_bits,
        users.payer_bits,
        users.payer_bits & first_payments.first_bits as new_payer_bits
    from users
    left join first_payments on users.user_id = first_payments.user_id

),

-- Users with the same windows are counted together.
counted_users as (

    select
        currency,
        active_bits,
        payer_bits,
        new_payer_bits,
        count(*) as users
    from user_windows
    group by currency, active_bits, payer_bits, new_payer_bits

),

head_counts as (

    select
        numbered_windows.period,
        numbered_windows.part,
        counted_users.currency,
        sum(counted_users.users) filter (where counted_users.active_bits & numbered_windows.bit <> 0) as active_users,
        sum(counted_users.users) filter (where counted_users.payer_bits & numbered_windows.bit <> 0) as active_payers,
        sum(counted_users.users) filter (where counted_users.new_payer_bits & numbered_windows.bit <> 0) as new_payers
    from counted_users
    cross join numbered_windows
    group by numbered_windows.period, numbered_windows.part, counted_users.currency

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
        {{ money(net_revenue('this')) }} as net_revenue,
        {{ money('this.provider_cost') }} as provider_cost,
        {{ money('this.platform_fees') }} as platform_fees,
        {{ money(profit('this')) }} as profit,
        {{ money(net_profit('this')) }} as net_profit,
        {{ ratio('(' ~ profit('this') ~ ')', 'this.revenue') }} as margin,
        case when {{ has_credit }} then {{ money('paid_from.revenue_paid') }} end as revenue_paid,
        case when {{ has_credit }} then {{ money('paid_from.revenue_promo') }} end as revenue_promo,
        case when {{ has_credit }} then {{ money('paid_from.revenue_unfunded') }} end as revenue_unfunded,

        ---------- users
        {{ whole('heads.active_users') }} as active_users,
        {{ whole('heads.active_payers') }} as active_payers,
        {{ whole('heads.new_payers') }} as new_payers,
        {{ whole('coalesce(heads.active_payers, 0) - coalesce(heads.new_payers, 0)') }} as returning_payers,
        {{ ratio('this.revenue', 'heads.active_payers') }} as arpu,

        ---------- deposits
        {{ money('paid_in.deposits') }} as deposits,
        {{ money('paid_in.promo_deposits') }} as promo_deposits,

        {{ ratio('(this.counted_charges - this.charges_without_cost)', 'this.counted_charges') }} as cost_coverage,

        ---------- the previous period
        case when periods.previous_start is not null then {{ money('previous.revenue') }} end as previous_revenue,
        case when periods.previous_start is not null then {{ money('previous.provider_cost') }} end as previous_provider_cost,
        case when periods.previous_start is not null then {{ money(profit('previous')) }} end as previous_profit,
        case when periods.previous_start is not null then {{ whole('previous_heads.active_payers') }} end as previous_active_payers,
        {{ ratio('previous.revenue', 'previous_heads.active_payers') }} as previous_arpu,
        periods.previous_start,
        periods.previous_end
    from periods
    cross join currencies
    left join usage as this
        on periods.period = this.period and currencies.currency = this.currency and this.part = 'this'
    left join usage as previous
        on periods.period = previous.period and currencies.currency = previous.currency and previous.part = 'previous'
    left join paid_in on periods.period = paid_in.period and currencies.currency = paid_in.currency
    left join paid_from on periods.period = paid_from.period and currencies.currency = paid_from.currency
    left join head_counts as heads
        on periods.period = heads.period and currencies.currency = heads.currency and heads.part = 'this'
    left join head_counts as previous_heads
        on periods.period = previous_heads.period and currencies.currency = previous_heads.currency and previous_heads.part = 'previous'

)
{%- endmacro %}
