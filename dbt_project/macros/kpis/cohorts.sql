{#-
    Return the CTEs of cohorts per month, as in `fct_cohorts`. `dates`, `settings` (today), `known_months`
    (months of users, which determine their cohort) and `counted_months` (months of users, with the values to
    sum) are CTEs of the query that contains this macro.
-#}
{% macro cohort_ctes() -%}
months as (

    select
        month_start,
        cast(year * 12 + month as integer) as month_no
    from dates
    group by month_start, year * 12 + month

),

cohort_users as (

    select
        known_months.user_id,
        known_months.currency,
        min(months.month_start) as cohort_month,
        min(months.month_no) as cohort_month_no
    from known_months
    inner join months on known_months.month_start = months.month_start
    where known_months.revenue > 0
    group by known_months.user_id, known_months.currency

),

cohorts as (

    select
        cohort_month,
        cohort_month_no,
        currency,
        cast(count(*) as bigint) as cohort_size
    from cohort_users
    group by cohort_month, cohort_month_no, currency

),

happened as (

    select
        cohort_users.cohort_month,
        counted_months.currency,
        months.month_no,
        count(*) filter (where counted_months.revenue > 0) as active_payers,
        sum(counted_months.revenue) as revenue,
        sum(counted_months.profit) as profit
    from counted_months
    inner join months on counted_months.month_start = months.month_start
    inner join cohort_users on counted_months.user_id = cohort_users.user_id and counted_months.currency = cohort_users.currency
    where months.month_no >= cohort_users.cohort_month_no
    group by cohort_users.cohort_month, counted_months.currency, months.month_no

),

-- Every month from the cohort month on, including months without entries.
every_month as (

    select
        cohorts.cohort_month,
        cohorts.currency,
        months.month_no - cohorts.cohort_month_no as months_since,
        months.month_start,
        cohorts.cohort_size,
        {{ whole('happened.active_payers') }} as active_payers,
        {{ money('happened.revenue') }} as revenue,
        {{ money('happened.profit') }} as profit
    from cohorts
    inner join months on cohorts.cohort_month_no <= months.month_no
    left join happened
        on
            cohorts.cohort_month = happened.cohort_month
            and cohorts.currency = happened.currency
            and months.month_no = happened.month_no

),

followed as (

    select
        ---------- grain
        every_month.cohort_month,
        every_month.currency,
        cast(every_month.months_since as integer) as months_since,

        ---------- payers
        every_month.cohort_size,
        every_month.active_payers,
        {{ ratio('every_month.active_payers', 'every_month.cohort_size') }} as retention_rate,

        ---------- money
        every_month.revenue,
        {{ money('sum(every_month.revenue) over so_far') }} as cumulative_revenue,
        {{ money('sum(every_month.profit) over so_far') }} as cumulative_profit,
        {{ ratio('every_month.revenue', 'every_month.cohort_size') }} as revenue_per_user,

        {{ add_months('every_month.month_start', 1) }} <= settings.today as is_complete
    from every_month
    cross join settings
    window so_far as (
        partition by every_month.cohort_month, every_month.currency order by every_month.months_since rows between unbounded preceding and current row
    )

)
{%- endmacro %}
