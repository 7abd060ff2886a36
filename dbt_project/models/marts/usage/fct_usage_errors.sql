with

events as (

    select *
    from {{ ref('stg_paywalls__events') }}
    where event_type in (
        'balance.charge.failed', 'balance.depleted', 'request.blocked', 'usage.rate.limited', 'proxy.request.failed', 'proxy.request.blocked'
    )

),

identity as (select * from {{ ref('int_users__identity') }}),

models as (select * from {{ ref('stg_prices__models') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

deliveries as (

    select
        *,
        row_number() over (partition by event_id order by batch_seq desc, file_no desc, line desc) as recency
    from events

),

errors as (select * from deliveries where recency = 1)

select
    ---------- ids
    errors.event_id,
    coalesce(errors.external_user_id, identity.user_id, errors.wallet_user_id) as user_id,
    errors.paywall_id,
    coalesce(models.model_id, errors.model) as model_id,
    errors.request_id,

    ---------- what
    errors.event_type as error_kind,
    coalesce(
        errors.error_code,
        errors.reason,
        case errors.event_type when 'balance.depleted' then 'balance_depleted' when 'usage.rate.limited' then 'rate_limited' end
    ) as error_code,

    ---------- money
    coalesce(errors.requested_amount, case when errors.event_type = 'balance.charge.failed' then errors.amount end) as requested_amount,
    errors.available_balance,

    ---------- time
    errors.occurred_at,
    {{ reporting_day('errors.occurred_at', 'settings.reporting_timezone') }} as error_date
from errors
cross join settings
left join identity on errors.wallet_user_id = identity.wallet_user_id
left join models on errors.model = models.model
