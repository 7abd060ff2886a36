{#- Number of rounds. More equal payments than this, by one user within an hour, are not a coincidence. -#}
{%- set rounds = 4 -%}
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

    union all

    select
        payment_key,
        charge_id
    from {{ ref('int_stripe__unified_payments') }}
    where charge_id is not null

),

-- The rank is the order of docs/contract.md#56-how-a-deposit-finds-its-payment.
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

-- A deposit may name a payment id without the rail if only one rail has the id.
rails_of_ids as (

    select
        key,
        count(distinct rail) as rails
    from payment_keys
    where rank = 4
    group by key

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

possible as (

    select
        deposit_keys.entry_id,
        payment_keys.payment_key,
        payment_keys.match_method,
        payment_keys.rank,
        row_number() over (partition by deposit_keys.entry_id order by deposit_keys.rank, payment_keys.payment_key) as position
    from deposit_keys
    inner join payment_keys on deposit_keys.rank = payment_keys.rank and deposit_keys.key = payment_keys.key
    left join rails_of_ids on deposit_keys.key = rails_of_ids.key
    -- Ids of Stripe belong to Stripe only. Ids of other rails are unique within their rail.
    where deposit_keys.rank < 4 or deposit_keys.rail = payment_keys.rail or deposit_keys.rail = 'unknown' and rails_of_ids.rails = 1

),

keyed as (select * from possible where position = 1),

-- A deposit without a key may still agree in amount, currency, user and hour. It is then a suggestion, which
-- stays a break until someone confirms it.
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
    where payments.user_id is not null

),

candidates as (

    select
        lone_deposits.entry_id,
        lone_payments.payment_key,
        lone_payments.paid_at,
        case
            when lone_deposits.occurred_at >= lone_payments.paid_at then lone_deposits.occurred_at - lone_payments.paid_at
            else lone_payments.paid_at - lone_deposits.occurred_at
        end as apart,
        false as is_pair,
        false as is_taken
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

-- The nearest pair is taken first, then the nearest of the rest. Each round takes the pairs in which each
-- side is the nearest of the other.
{%- for round in range(1, rounds + 1) %}

nearest_{{ round }} as (

    select
        *,
        not is_taken
        and row_number() over (partition by entry_id, is_taken order by apart, paid_at, payment_key) = 1
        and row_number() over (partition by payment_key, is_taken order by apart, paid_at, entry_id) = 1 as is_nearest
    from {{ 'candidates' if loop.first else 'left_after_' ~ (round - 1) }}

),

left_after_{{ round }} as (

    select
        entry_id,
        payment_key,
        paid_at,
        apart,
        is_pair or is_nearest as is_pair,
        is_taken or bool_or(is_nearest) over (partition by entry_id) or bool_or(is_nearest) over (partition by payment_key) as is_taken
    from nearest_{{ round }}

),
{%- endfor %}

suggested as (

    select
        entry_id,
        payment_key,
        'suggested' as match_method,
        5 as rank
    from left_after_{{ rounds }}
    where is_pair

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
