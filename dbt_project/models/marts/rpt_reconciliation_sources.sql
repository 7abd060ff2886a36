{#- Stripe has a day's data within 12 hours of its end: what ends less than two days ago is as fresh as it can be. -#}
{%- set freshest_days = 2 -%}
{#- Payouts and summaries may be made once a month: after that many days nobody has looked. -#}
{%- set quiet_days = 35 -%}
with

deposits as (select * from {{ ref('int_deposits') }}),

matches as (select * from {{ ref('int_deposits__matched') }}),

mode as (select * from {{ ref('stg_stripe__mode') }}),

-- Sessions of both modes tie ids together.
files as (

    select loaded_files.*
    from {{ source('raw', 'loaded_files') }} as loaded_files
    inner join mode on loaded_files.livemode = mode.livemode or loaded_files.source = 'stripe/checkout_sessions'
    where loaded_files.status = 'loaded' and loaded_files.source like 'stripe/%'

),

rail_payments as (select * from {{ ref('stg_rails__payments') }}),

reach as (select * from {{ ref('int_reconciliation__reach') }}),

coverage as (select * from {{ ref('int_stripe__coverage') }}),

sessions as (select * from {{ ref('int_stripe__sessions') }} where payment_intent_id is not null),

settings as (select * from {{ ref('stg_run__settings') }}),

stripe_sources as (

    select 'stripe/balance_change_from_activity.itemized' as source
    union all
    select 'stripe/payouts.itemized' as source
    union all
    select 'stripe/payout_reconciliation.itemized' as source
    union all
    select 'stripe/balance.summary' as source
    union all
    select 'stripe/checkout_sessions' as source

),

accepted as (

    select
        source,
        sum(accepted) as records
    from files
    group by source

),

-- How far a source reaches, and how long ago somebody last looked: a file that does not say what it covers says when it was landed.
reached as (

    select
        source,
        max(least(covered_until, loaded_at)) filter (where covered_until is not null) as data_until,
        max(case when covered_until is null then loaded_at else least(covered_until, loaded_at) end) as looked_at
    from files
    group by source

),

gaps as (

    select count(*) as pieces
    from coverage
    where source = 'stripe/balance_change_from_activity.itemized' and piece > 1

),

-- Deposits that only a session ties to their payment; those whose session nobody has heard of, and could have by now.
session_deposits as (

    select
        count(*) as deposits,
        count(*) filter (where sessions.checkout_session_id is null) as untied,
        count(*) filter (
            where sessions.checkout_session_id is null
            and deposits.occurred_at > reached.looked_at
            and {{ later_by_days('deposits.occurred_at', 'settings.recon_grace_days') }} <= settings.as_of
        ) as unreached
    from deposits
    cross join settings
    left join reached on reached.source = 'stripe/checkout_sessions'
    left join sessions on deposits.checkout_session_id = sessions.checkout_session_id
    where deposits.checkout_session_id is not null and deposits.payment_intent_id is null and deposits.charge_id is null

),

stripe_use as (

    select
        exists (select 1 as one from deposits where rail = 'stripe')
        or exists (select 1 as one from files where source like 'stripe/%') as is_used

),

stripe_rows as (

    select
        'stripe' as rail,
        stripe_sources.source,
        coalesce(accepted.records, 0) as records,
        case when stripe_sources.source = 'stripe/balance_change_from_activity.itemized' then reach.data_until else reached.data_until end as data_until,
        case
            when stripe_sources.source = 'stripe/checkout_sessions' and session_deposits.deposits = 0 then 'complete'
            when stripe_sources.source = 'stripe/checkout_sessions' and session_deposits.unreached > 0 and reached.source is not null then 'stale'
            when
                stripe_sources.source = 'stripe/checkout_sessions'
                and session_deposits.untied = session_deposits.deposits and reached.source is null
                then 'missing'
            when stripe_sources.source = 'stripe/checkout_sessions' then 'complete'
            -- A report that was landed may say that there was nothing.
            when not exists (select 1 as one from files where files.source = stripe_sources.source) then 'missing'
            when stripe_sources.source = 'stripe/balance_change_from_activity.itemized' and gaps.pieces > 0 then 'gaps'
            when
                stripe_sources.source = 'stripe/balance_change_from_activity.itemized'
                and coalesce({{ later_by_days('reach.data_until', 'greatest(settings.recon_grace_days, ' ~ freshest_days ~ ')') }} < settings.as_of, true)
                then 'stale'
            when stripe_sources.source = 'stripe/payouts.itemized' and reached.data_until < summarized.data_until then 'stale'
            when
                stripe_sources.source <> 'stripe/balance_change_from_activity.itemized'
                and {{ later_by_days('reached.looked_at', quiet_days) }} < settings.as_of
                then 'stale'
            else 'complete'
        end as verdict
    from stripe_sources
    cross join settings
    cross join session_deposits
    cross join gaps
    inner join stripe_use on stripe_use.is_used
    left join accepted on stripe_sources.source = accepted.source
    left join reached on stripe_sources.source = reached.source
    left join reached as summarized on summarized.source = 'stripe/balance.summary'
    left join reach on reach.rail = 'stripe'

),

other_rails as (

    select rail
    from deposits
    where rail not in ('stripe', 'unknown')
    union
    select rail
    from rail_payments

),

payments_by_rail as (

    select
        rail,
        count(*) as records
    from rail_payments
    group by rail

),

-- Credits without a payment that are older than the grace, and later than the last payment that the rail has told of.
unreached as (

    select
        deposits.rail,
        count(*) as deposits
    from deposits
    cross join settings
    inner join reach on deposits.rail = reach.rail
    anti join matches on deposits.entry_id = matches.entry_id
    where deposits.occurred_at > reach.data_until and {{ later_by_days('deposits.occurred_at', 'settings.recon_grace_days') }} <= settings.as_of
    group by deposits.rail

),

rail_rows as (

    select
        other_rails.rail,
        'payments' as source,
        coalesce(payments_by_rail.records, 0) as records,
        reach.data_until,
        case
            when payments_by_rail.rail is null then 'missing'
            when unreached.rail is not null then 'stale'
            else 'complete'
        end as verdict
    from other_rails
    cross join settings
    left join payments_by_rail on other_rails.rail = payments_by_rail.rail
    left join reach on other_rails.rail = reach.rail
    left join unreached on other_rails.rail = unreached.rail

)

select
    rail,
    source,
    {{ whole('records') }} as records,
    data_until,
    verdict
from stripe_rows
union all
select
    rail,
    source,
    {{ whole('records') }} as records,
    data_until,
    verdict
from rail_rows
