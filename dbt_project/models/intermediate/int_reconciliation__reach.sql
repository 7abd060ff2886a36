with

deposits as (select * from {{ ref('int_deposits') }}),

matches as (select * from {{ ref('int_deposits__matched') }}),

accounts as (select distinct account_id from {{ ref('int_stripe__accounts') }}),

stripe_reach as (select * from {{ ref('int_stripe__reach') }}),

sessions as (select * from {{ ref('int_stripe__sessions') }} where payment_intent_id is not null),

session_lists as (select * from {{ ref('int_stripe__session_lists') }}),

rail_payments as (select * from {{ ref('stg_rails__payments') }}),

lone_deposits as (

    select
        deposits.entry_id,
        deposits.rail,
        deposits.currency,
        -- Only a session links the deposit to a payment, and the payment of that session is not known yet.
        coalesce(deposits.payment_intent_id, deposits.charge_id) is null
        and deposits.checkout_session_id is not null
        and sessions.checkout_session_id is null as waits_for_session
    from deposits
    anti join matches on deposits.entry_id = matches.entry_id
    left join sessions on deposits.checkout_session_id = sessions.checkout_session_id

),

kinds as (

    select distinct
        rail,
        currency,
        waits_for_session
    from lone_deposits

),

rails as (

    select
        rail,
        max(paid_at) as data_until
    from rail_payments
    group by rail

),

-- Every source that could hold the payment of a kind of deposit: all accounts for Stripe, the deposit's own
-- rail, or all of them if the deposit names no rail.
candidates as (

    select
        kinds.rail,
        kinds.currency,
        kinds.waits_for_session,
        case
            when not kinds.waits_for_session then stripe_reach.data_until
            when stripe_reach.data_until < session_lists.looked_at then stripe_reach.data_until
            when stripe_reach.data_until is not null then session_lists.looked_at
        end as data_until
    from kinds
    cross join accounts
    left join stripe_reach on accounts.account_id = stripe_reach.account_id and kinds.currency = stripe_reach.paid_currency
    left join session_lists on accounts.account_id = session_lists.account_id
    where kinds.rail in ('stripe', 'unknown')

    union all

    select
        kinds.rail,
        kinds.currency,
        kinds.waits_for_session,
        rails.data_until
    from kinds
    inner join rails on kinds.rail = rails.rail or kinds.rail = 'unknown'

),

reached as (

    select
        rail,
        currency,
        waits_for_session,
        -- If one source does not reach far enough, the reach is unknown, because the payment may be in that
        -- source.
        case when count(*) = count(data_until) then min(data_until) end as data_until
    from candidates
    group by rail, currency, waits_for_session

)

select
    lone_deposits.entry_id,
    lone_deposits.rail,
    lone_deposits.currency,
    lone_deposits.waits_for_session,
    reached.data_until,
    lone_deposits.rail = 'unknown' and reached.rail is null as has_no_source
from lone_deposits
left join reached
    on
        lone_deposits.rail = reached.rail
        and lone_deposits.currency = reached.currency
        and lone_deposits.waits_for_session = reached.waits_for_session
