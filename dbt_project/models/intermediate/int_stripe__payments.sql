with

transactions as (select * from {{ ref('int_stripe__transactions') }}),

paid as (

    select
        payment_key,
        max(payment_intent_id) as payment_intent_id,
        min(charge_id) as charge_id,
        max(user_id) as user_id,
        coalesce(max(presentment_currency) filter (where reporting_category = 'charge'), min(presentment_currency)) as paid_currency,
        -- What was not captured may be stated in settlement currency only: then what was paid is not known.
        case when min(presentment_currency) = max(presentment_currency) then sum(presentment_amount) end as paid_amount,
        min(currency) as settlement_currency,
        sum(gross) as settled_gross,
        sum(fee) as settled_fee,
        sum(net) as settled_net,
        min(created_at) as paid_at,
        max(created_at) as last_event_at
    from transactions
    where movement = 'payment'
    group by payment_key

),

-- Money that went back. A refund that failed, or a dispute that was won, brings it in again.
returned as (

    select
        payment_key,
        max(payment_intent_id) as payment_intent_id,
        min(charge_id) as charge_id,
        max(user_id) as user_id,
        min(presentment_currency) as returned_currency,
        max(presentment_currency) as other_returned_currency,
        -sum(presentment_amount) filter (where movement = 'refund') as refunded_amount,
        -sum(gross) filter (where movement = 'refund') as refunded_gross,
        -sum(presentment_amount) filter (where movement = 'dispute') as disputed_amount,
        -sum(gross) filter (where movement = 'dispute') as disputed_gross,
        count(*) filter (where movement = 'refund' and gross < 0) <= count(*) filter (where movement = 'refund' and gross > 0) as is_refund_undone,
        count(*) filter (where movement = 'dispute' and gross < 0) <= count(*) filter (where movement = 'dispute' and gross > 0) as is_dispute_undone,
        max(created_at) as last_event_at,
        min(created_at) filter (where movement = 'refund') as refunded_at,
        min(created_at) filter (where movement = 'dispute') as disputed_at
    from transactions
    where movement in ('refund', 'dispute')
    group by payment_key

),

joined as (

    select
        paid.payment_key,
        coalesce(paid.payment_intent_id, returned.payment_intent_id) as payment_intent_id,
        coalesce(paid.charge_id, returned.charge_id) as charge_id,
        coalesce(paid.user_id, returned.user_id) as user_id,
        paid.paid_currency,
        paid.paid_amount,
        paid.settlement_currency,
        paid.settled_gross,
        paid.settled_fee,
        paid.settled_net,
        greatest(coalesce(returned.refunded_amount, 0), 0) as refunded_amount,
        greatest(coalesce(returned.refunded_gross, 0), 0) as refunded_gross,
        greatest(coalesce(returned.disputed_amount, 0), 0) as disputed_amount,
        greatest(coalesce(returned.disputed_gross, 0), 0) as disputed_gross,
        -- Stripe may state the customer's amount on charges only: then what went back is known in settlement currency.
        coalesce(
            paid.paid_currency <> returned.returned_currency or paid.paid_currency <> returned.other_returned_currency, false
        ) as is_returned_converted,
        -- What came in again has another rate than what went out.
        coalesce(returned.is_refund_undone, true) as is_refund_undone,
        coalesce(returned.is_dispute_undone, true) as is_dispute_undone,
        paid.paid_at,
        coalesce(greatest(paid.last_event_at, returned.last_event_at), paid.last_event_at) as last_event_at,
        returned.refunded_at,
        returned.disputed_at
    from paid
    left join returned on paid.payment_key = returned.payment_key

)

select
    ---------- ids
    payment_key,
    payment_intent_id,
    charge_id,
    user_id,

    ---------- money, as the customer sees it
    paid_currency,
    paid_amount,
    case
        when not is_returned_converted then refunded_amount
        when refunded_gross = 0 or is_refund_undone then 0
        when refunded_gross >= settled_gross then paid_amount
    end as refunded_amount,
    case
        when not is_returned_converted then disputed_amount
        when disputed_gross = 0 or is_dispute_undone then 0
        when disputed_gross >= settled_gross then paid_amount
    end as disputed_amount,

    ---------- money, in the currency of the account's balance
    settlement_currency,
    settled_gross,
    settled_fee,
    settled_net,

    ---------- time
    paid_at,
    last_event_at,
    refunded_at,
    disputed_at
from joined
