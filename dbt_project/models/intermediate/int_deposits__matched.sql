with

deposits as (select * from {{ ref('int_deposits') }}),

payments as (select * from {{ ref('int_payments') }}),

sessions as (select * from {{ ref('int_stripe__sessions') }} where payment_intent_id is not null),

charges as (

    select distinct
        payment_key,
        charge_id
    from {{ ref('int_stripe__transactions') }}
    where movement = 'payment' and charge_id is not null

),

-- Contract 5: keys are tried in this order.
payment_keys as (

    select
        1 as rank,
        'payment_intent' as match_method,
        payment_intent_id as key,
        payment_key,
        rail
    from payments
    where payment_intent_id is not null

    union all

    select
        2 as rank,
        'charge' as match_method,
        charge_id as key,
        payment_key,
        'stripe' as rail
    from charges

    union all

    select
        3 as rank,
        'checkout_session' as match_method,
        sessions.checkout_session_id as key,
        payments.payment_key,
        payments.rail
    from sessions
    inner join payments on sessions.payment_intent_id = payments.payment_intent_id

    union all

    select
        4 as rank,
        'payment_id' as match_method,
        coalesce(payment_id, payment_intent_id, charge_id) as key,
        payment_key,
        rail
    from payments

),

deposit_keys as (

    select
        entry_id,
        1 as rank,
        payment_intent_id as key,
        rail
    from deposits
    where payment_intent_id is not null

    union all

    select
        entry_id,
        2 as rank,
        charge_id as key,
        rail
    from deposits
    where charge_id is not null

    union all

    select
        entry_id,
        3 as rank,
        checkout_session_id as key,
        rail
    from deposits
    where checkout_session_id is not null

    union all

    select
        entry_id,
        4 as rank,
        payment_id as key,
        rail
    from deposits
    where payment_id is not null

),

keyed as (

    select
        deposit_keys.entry_id,
        payment_keys.payment_key,
        payment_keys.match_method,
        payment_keys.rank
    from deposit_keys
    inner join payment_keys on deposit_keys.rank = payment_keys.rank and deposit_keys.key = payment_keys.key
    -- Stripe's ids are Stripe's alone; the ids of other rails are unique within their rail.
    where deposit_keys.rank < 4 or deposit_keys.rail = payment_keys.rail or deposit_keys.rail = 'unknown'
    qualify
        row_number() over (
            partition by deposit_keys.entry_id
            order by deposit_keys.rank, payment_keys.payment_key
        ) = 1

),

-- What no key ties may still be told by amount, currency, user and hour: a suggestion, and a break until somebody confirms it.
lone_deposits as (

    select deposits.*
    from deposits
    anti join keyed on deposits.entry_id = keyed.entry_id
    where not deposits.has_key

),

lone_payments as (

    select payments.*
    from payments
    anti join keyed on payments.payment_key = keyed.payment_key
    where payments.is_paid and payments.user_id is not null

),

candidates as (

    select
        lone_deposits.entry_id,
        lone_deposits.occurred_at,
        lone_payments.payment_key,
        lone_payments.paid_at,
        lone_payments.user_id,
        lone_payments.paid_currency,
        lone_payments.paid_amount
    from lone_deposits
    inner join lone_payments
        on
            lone_deposits.user_id = lone_payments.user_id
            and lone_deposits.currency = lone_payments.paid_currency
            and lone_deposits.amount = lone_payments.paid_amount
            and (lone_deposits.rail = lone_payments.rail or lone_deposits.rail = 'unknown')
    where
        lone_deposits.occurred_at <= lone_payments.paid_at + interval '1' hour
        and lone_payments.paid_at <= lone_deposits.occurred_at + interval '1' hour

),

-- The first of some equal deposits goes with the first of the equal payments, the second with the second.
deposit_places as (

    select
        entry_id,
        row_number() over (partition by user_id, paid_currency, paid_amount order by occurred_at, entry_id) as place
    from (
        select distinct
            entry_id,
            occurred_at,
            user_id,
            paid_currency,
            paid_amount
        from candidates
    ) as once

),

payment_places as (

    select
        payment_key,
        row_number() over (partition by user_id, paid_currency, paid_amount order by paid_at, payment_key) as place
    from (
        select distinct
            payment_key,
            paid_at,
            user_id,
            paid_currency,
            paid_amount
        from candidates
    ) as once

),

suggested as (

    select
        candidates.entry_id,
        candidates.payment_key,
        'suggested' as match_method,
        5 as rank
    from candidates
    inner join deposit_places on candidates.entry_id = deposit_places.entry_id
    inner join payment_places on candidates.payment_key = payment_places.payment_key and deposit_places.place = payment_places.place

)

select
    entry_id,
    payment_key,
    match_method,
    rank
from keyed

union all

select
    entry_id,
    payment_key,
    match_method,
    rank
from suggested
