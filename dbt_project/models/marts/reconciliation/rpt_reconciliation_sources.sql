{#-
    Stripe has the data of a day within 12 hours of its end. Data that end less than two days ago are as fresh
    as possible.
-#}
{%- set freshest_days = 2 -%}
{#- Payouts and summaries may be monthly. Files older than this many days are stale. -#}
{%- set quiet_days = 35 -%}
with

deposits as (select * from {{ ref('int_deposits') }}),

mode as (select * from {{ ref('stg_stripe__mode') }}),

-- Sessions of both modes are used to link ids.
files as (

    select loaded_files.*
    from {{ source('run', 'loaded_files') }} as loaded_files
    inner join mode on loaded_files.livemode = mode.livemode or loaded_files.source = 'stripe/checkout_sessions'
    where loaded_files.status = 'loaded' and loaded_files.source like 'stripe/%'

),

rail_payments as (select * from {{ ref('stg_rails__payments') }}),

accounts as (select * from {{ ref('int_stripe__accounts') }}),

stripe_reach as (select * from {{ ref('int_stripe__reach') }}),

session_lists as (select * from {{ ref('int_stripe__session_lists') }}),

lone_deposits as (select * from {{ ref('int_reconciliation__reach') }}),

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
    union all
    select 'stripe/unified_payments' as source

),

-- An account exists as soon as Stripe is in use, even if nothing was landed for it.
stripe_accounts as (

    select distinct account_id
    from accounts

    union all

    select 'default' as account_id
    where
        not exists (select 1 as one from accounts)
        and (
            exists (select 1 as one from deposits where rail = 'stripe')
            or exists (select 1 as one from files)
        )

),

-- How far a source of an account reaches, and when it was last looked at. For a file without a stated span,
-- that is when it was landed.
reached as (

    select
        coalesce(accounts.account_id, files.account_id) as account_id,
        files.source,
        sum(files.accepted) as records,
        max(least(files.covered_until, files.loaded_at)) filter (where files.covered_until is not null) as data_until,
        max(case when files.covered_until is null then files.loaded_at else least(files.covered_until, files.loaded_at) end) as looked_at
    from files
    left join accounts on files.account_id = accounts.stated_account_id
    group by coalesce(accounts.account_id, files.account_id), files.source

),

-- Without reports, the export of payments stands for the activity. It has nothing to compare payouts and
-- balances with, so that their reports are not missing.
exports_only as (

    select
        account_id,
        max(case when source = 'stripe/balance_change_from_activity.itemized' then 1 else 0 end) = 0 as has_no_activity,
        max(case when source not in ('stripe/unified_payments', 'stripe/checkout_sessions') then 1 else 0 end) = 0 as has_no_report
    from reached
    group by account_id
    having max(case when source = 'stripe/unified_payments' then 1 else 0 end) = 1

),

-- Deposits without a payment that are older than the grace.
overdue_deposits as (

    select
        lone_deposits.entry_id,
        lone_deposits.rail,
        lone_deposits.currency,
        deposits.occurred_at
    from lone_deposits
    inner join deposits on lone_deposits.entry_id = deposits.entry_id
    cross join settings
    where {{ later_by_days('deposits.occurred_at', 'settings.recon_grace_days') }} <= settings.as_of

),

unheard_sessions as (

    select
        stripe_accounts.account_id,
        count(*) as deposits,
        count(*) filter (where overdue_deposits.occurred_at > session_lists.looked_at) as unreached
    from stripe_accounts
    cross join lone_deposits
    left join overdue_deposits on lone_deposits.entry_id = overdue_deposits.entry_id
    left join session_lists on stripe_accounts.account_id = session_lists.account_id
    where lone_deposits.waits_for_session
    group by stripe_accounts.account_id

),

-- Accounts whose exports of payments end before such a deposit.
unreached_accounts as (

    select stripe_reach.account_id
    from stripe_reach
    cross join overdue_deposits
    where
        stripe_reach.paid_currency is null
        and overdue_deposits.rail in ('stripe', 'unknown')
        and coalesce(overdue_deposits.occurred_at > stripe_reach.data_until, true)
    group by stripe_reach.account_id

),

overdue_currencies as (select distinct currency from overdue_deposits where rail in ('stripe', 'unknown')),

-- Currencies of overdue deposits whose payment no file of the account could contain.
uncovered_currencies as (

    select
        stripe_accounts.account_id,
        {{ sorted_list('currencies.currency') }} as currencies
    from stripe_accounts
    cross join overdue_currencies as currencies
    inner join stripe_reach as whole on stripe_accounts.account_id = whole.account_id and whole.paid_currency is null
    left join stripe_reach on stripe_accounts.account_id = stripe_reach.account_id and currencies.currency = stripe_reach.paid_currency
    where whole.data_until is not null and stripe_reach.data_until is null
    group by stripe_accounts.account_id

),

stripe_rows as (

    select
        'stripe' as rail,
        stripe_sources.source,
        stripe_accounts.account_id,
        coalesce(reached.records, 0) as records,
        case
            when stripe_sources.source = 'stripe/balance_change_from_activity.itemized' then stripe_reach.data_until
            when stripe_sources.source = 'stripe/unified_payments' and exports_only.has_no_activity then stripe_reach.data_until
            else reached.data_until
        end as data_until,
        case
            when stripe_sources.source = 'stripe/balance_change_from_activity.itemized' then uncovered_currencies.currencies
        end as missing_currencies,
        case
            when stripe_sources.source = 'stripe/checkout_sessions' and coalesce(unheard_sessions.deposits, 0) = 0 then 'complete'
            when stripe_sources.source = 'stripe/checkout_sessions' and reached.source is null then 'missing'
            when stripe_sources.source = 'stripe/checkout_sessions' and unheard_sessions.unreached > 0 then 'stale'
            when stripe_sources.source = 'stripe/checkout_sessions' then 'complete'
            when stripe_sources.source = 'stripe/unified_payments' and not exports_only.has_no_activity then 'complete'
            when stripe_sources.source = 'stripe/unified_payments' and stripe_reach.has_gaps then 'gaps'
            when
                stripe_sources.source = 'stripe/unified_payments'
                and (
                    {{ later_by_days('reached.looked_at', 'greatest(settings.recon_grace_days, ' ~ freshest_days ~ ')') }} < settings.as_of
                    or unreached_accounts.account_id is not null
                )
                then 'stale'
            when stripe_sources.source = 'stripe/unified_payments' then 'complete'
            -- A landed report without rows shows that nothing happened.
            when reached.source is null then 'missing'
            when stripe_sources.source = 'stripe/balance_change_from_activity.itemized' and stripe_reach.has_gaps then 'gaps'
            when
                stripe_sources.source = 'stripe/balance_change_from_activity.itemized'
                and coalesce(
                    {{ later_by_days('stripe_reach.data_until', 'greatest(settings.recon_grace_days, ' ~ freshest_days ~ ')') }} < settings.as_of, true
                )
                then 'stale'
            when stripe_sources.source = 'stripe/balance_change_from_activity.itemized' and uncovered_currencies.account_id is not null then 'partial'
            when stripe_sources.source = 'stripe/payouts.itemized' and reached.data_until < summarized.data_until then 'stale'
            when
                stripe_sources.source <> 'stripe/balance_change_from_activity.itemized'
                and {{ later_by_days('reached.looked_at', quiet_days) }} < settings.as_of
                then 'stale'
            else 'complete'
        end as verdict
    from stripe_sources
    cross join stripe_accounts
    cross join settings
    left join reached on stripe_sources.source = reached.source and stripe_accounts.account_id = reached.account_id
    left join reached as summarized on summarized.source = 'stripe/balance.summary' and stripe_accounts.account_id = summarized.account_id
    left join stripe_reach on stripe_accounts.account_id = stripe_reach.account_id and stripe_reach.paid_currency is null
    left join unheard_sessions on stripe_accounts.account_id = unheard_sessions.account_id
    left join uncovered_currencies on stripe_accounts.account_id = uncovered_currencies.account_id
    left join exports_only on stripe_accounts.account_id = exports_only.account_id
    left join unreached_accounts on stripe_accounts.account_id = unreached_accounts.account_id
    where
        case
            when stripe_sources.source = 'stripe/unified_payments' then reached.source is not null
            when stripe_sources.source = 'stripe/balance_change_from_activity.itemized' then not coalesce(exports_only.has_no_activity, false)
            when stripe_sources.source = 'stripe/checkout_sessions' then true
            else not coalesce(exports_only.has_no_report, false)
        end

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
        count(*) as records,
        max(paid_at) as data_until
    from rail_payments
    group by rail

),

-- Deposits without a payment that are older than the grace and later than the last payment that the rail
-- reported.
unreached as (

    select
        overdue_deposits.rail,
        count(*) as deposits
    from overdue_deposits
    inner join payments_by_rail on overdue_deposits.rail = payments_by_rail.rail
    where overdue_deposits.occurred_at > payments_by_rail.data_until
    group by overdue_deposits.rail

),

rail_rows as (

    select
        other_rails.rail,
        'payments' as source,
        'default' as account_id,
        coalesce(payments_by_rail.records, 0) as records,
        payments_by_rail.data_until,
        {{ no_texts() }} as missing_currencies,
        case
            when payments_by_rail.rail is null then 'missing'
            when unreached.rail is not null then 'stale'
            else 'complete'
        end as verdict
    from other_rails
    left join payments_by_rail on other_rails.rail = payments_by_rail.rail
    left join unreached on other_rails.rail = unreached.rail

),

-- Deposits that name no rail are compared with every source. If there is no source, or if one ends before the
-- deposit, the comparison is incomplete.
unknown_rows as (

    select
        'unknown' as rail,
        'payments' as source,
        'default' as account_id,
        0 as records,
        min(lone_deposits.data_until) as data_until,
        {{ no_texts() }} as missing_currencies,
        case
            when bool_or(lone_deposits.has_no_source) then 'missing'
            when bool_or(coalesce(overdue_deposits.occurred_at > lone_deposits.data_until, overdue_deposits.entry_id is not null)) then 'stale'
            else 'complete'
        end as verdict
    from lone_deposits
    left join overdue_deposits on lone_deposits.entry_id = overdue_deposits.entry_id
    where lone_deposits.rail = 'unknown'
    having count(*) > 0

),

all_rows as (

    select * from stripe_rows
    union all
    select * from rail_rows
    union all
    select * from unknown_rows

)

select
    rail,
    source,
    account_id,
    {{ whole('records') }} as records,
    data_until,
    coalesce(missing_currencies, {{ no_texts() }}) as missing_currencies,
    verdict
from all_rows
