with

users as (select * from {{ ref('dim_users') }}),

user_months as (select * from {{ ref('fct_user_months') }}),

user_days as (select * from {{ ref('fct_user_days') }} where revenue > 0),

errors as (select * from {{ ref('fct_usage_errors') }} where user_id is not null),

settings as (select * from {{ ref('stg_run__settings') }}),

-- The last 30 calendar days, including today.
recent as (

    select
        {{ add_days('today', -29) }} as from_date,
        {{ add_days('today', 1) }} as to_date
    from settings

),

wallets as (

    select
        user_id,
        currency,
        sum(balance_effect) as balance,
        sum(revenue) as total_spend,
        sum(deposits) as total_deposits,
        sum(charges) as charges,
        sum(provider_cost) as provider_cost,
        sum(counted_charges) as counted_charges,
        sum(charges_without_cost) as charges_without_cost,
        sum(profit) as profit,
        min(first_payer_day) as first_payer_day
    from user_months
    group by user_id, currency

),

recent_payers as (

    select distinct
        user_days.user_id,
        user_days.currency
    from user_days
    inner join recent on user_days.date_day >= recent.from_date and user_days.date_day < recent.to_date

),

first_payments as (

    select
        user_id,
        min(first_payer_day) as date_day
    from wallets
    group by user_id

),

error_counts as (

    select
        errors.user_id,
        count(*) filter (where errors.error_date >= recent.from_date and errors.error_date < recent.to_date) as errors_30d
    from errors
    cross join recent
    group by errors.user_id

),

last_errors as (

    select
        user_id,
        error_code,
        occurred_at,
        row_number() over (partition by user_id order by occurred_at desc, event_id desc) as recency
    from errors

),

balances as (

    select
        users.user_id,
        coalesce(wallets.currency, settings.default_currency) as currency,
        users.status,
        {{ money('wallets.balance') }} as balance,
        {{ money('wallets.total_spend') }} as total_spend,
        {{ money('wallets.total_deposits') }} as total_deposits,
        {{ whole('wallets.charges') }} as charges,
        {{ money('wallets.provider_cost') }} as provider_cost,
        {{ whole('wallets.charges_without_cost') }} as charges_without_cost,
        coalesce(wallets.counted_charges > wallets.charges_without_cost, false) as has_known_cost,
        {{ money('wallets.profit') }} as profit,
        case
            when recent_payers.user_id is null then 'none'
            when first_payments.date_day >= recent.from_date then 'new'
            else 'returning'
        end as payer_type,
        users.last_activity_at,
        {{ whole('error_counts.errors_30d') }} as errors_30d,
        last_errors.error_code as last_error_code,
        last_errors.occurred_at as last_error_at,
        settings.low_balance
    from users
    cross join settings
    cross join recent
    left join wallets on users.user_id = wallets.user_id
    left join recent_payers on wallets.user_id = recent_payers.user_id and wallets.currency = recent_payers.currency
    left join first_payments on users.user_id = first_payments.user_id
    left join error_counts on users.user_id = error_counts.user_id
    left join last_errors on users.user_id = last_errors.user_id and last_errors.recency = 1

)

select
    ---------- grain
    user_id,
    currency,

    status,

    ---------- money
    balance,
    case when balance < 0 then 'negative' when balance = 0 then 'zero' when balance < low_balance then 'low' else 'high' end as balance_band,
    total_spend,
    total_deposits,
    charges,
    provider_cost,
    charges_without_cost,
    profit,
    case when has_known_cost then {{ ratio('provider_cost', 'charges') }} end as cost_to_serve,

    ---------- activity
    payer_type,
    last_activity_at,
    errors_30d,
    last_error_code,
    last_error_at
from balances
