with

stripe_payments as (select * from {{ ref('int_stripe__payments') }}),

sessions as (

    select
        payment_intent_id,
        max(checkout_session_id) as checkout_session_id,
        max(user_id) as user_id
    from {{ ref('int_stripe__sessions') }}
    where payment_intent_id is not null
    group by payment_intent_id

),

rail_payments as (

    select
        *,
        row_number() over (partition by rail, payment_id order by batch_seq desc, file_no desc, line desc) as recency
    from {{ ref('stg_rails__payments') }}

),

rails as (

    select
        *,
        case when status = 'refunded' then coalesce(refunded_amount, amount) else coalesce(refunded_amount, 0) end as returned_amount
    from rail_payments
    -- A failed payment moved no money.
    where recency = 1 and status <> 'failed'

)

select
    ---------- ids
    stripe_payments.payment_key,
    'stripe' as rail,
    stripe_payments.payment_intent_id,
    stripe_payments.charge_id,
    sessions.checkout_session_id,
    cast(null as {{ text_type() }}) as payment_id,
    coalesce(stripe_payments.user_id, sessions.user_id) as user_id,

    ---------- money, as the customer sees it
    stripe_payments.paid_currency,
    cast(stripe_payments.paid_amount as decimal(38, 12)) as paid_amount,
    cast(stripe_payments.refunded_amount as decimal(38, 12)) as refunded_amount,
    cast(stripe_payments.disputed_amount as decimal(38, 12)) as disputed_amount,
    stripe_payments.has_unknown_refund,
    stripe_payments.has_unknown_dispute,

    ---------- money as settled
    stripe_payments.settlement_currency,
    cast(stripe_payments.settled_gross as decimal(38, 12)) as settled_gross,
    cast(stripe_payments.settled_fee as decimal(38, 12)) as settled_fee,
    cast(stripe_payments.settled_net as decimal(38, 12)) as settled_net,

    ---------- time
    stripe_payments.paid_at,
    stripe_payments.last_event_at,
    stripe_payments.refunded_at,
    stripe_payments.disputed_at
from stripe_payments
left join sessions on stripe_payments.payment_intent_id = sessions.payment_intent_id

union all

select
    ---------- ids
    rail || ':' || payment_id as payment_key,
    rail,
    cast(null as {{ text_type() }}) as payment_intent_id,
    cast(null as {{ text_type() }}) as charge_id,
    cast(null as {{ text_type() }}) as checkout_session_id,
    payment_id,
    user_id,

    ---------- money, as the customer sees it
    currency as paid_currency,
    amount as paid_amount,
    cast(returned_amount as decimal(38, 12)) as refunded_amount,
    cast(case when status = 'disputed' then amount - returned_amount else 0 end as decimal(38, 12)) as disputed_amount,
    false as has_unknown_refund,
    false as has_unknown_dispute,

    ---------- money as settled, where a missing fee makes the net unknown
    currency as settlement_currency,
    amount as settled_gross,
    fee as settled_fee,
    cast(amount - fee as decimal(38, 12)) as settled_net,

    ---------- time, where the time of a return is not stated
    paid_at,
    paid_at as last_event_at,
    case when returned_amount > 0 then paid_at end as refunded_at,
    case when status = 'disputed' then paid_at end as disputed_at
from rails
