with

transactions as (select * from {{ ref('int_stripe__transactions') }}),

charged as (

    select
        payment_key,
        max(payment_intent_id) as payment_intent_id,
        min(charge_id) as charge_id,
        max(user_id) as user_id,
        coalesce(max(presentment_currency) filter (where reporting_category = 'charge'), min(presentment_currency)) as paid_currency,
        -- An amount that was not captured may be stated only in settlement currency. The paid amount is then
        -- unknown.
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

-- The export of payments states what it knows of returns. The activity has them as rows of their own.
paid as (

    select
        payment_key,
        payment_intent_id,
        charge_id,
        user_id,
        paid_currency,
        paid_amount,
        settlement_currency,
        settled_gross,
        settled_fee,
        settled_net,
        paid_at,
        last_event_at,
        cast(0 as decimal(38, 12)) as stated_refund,
        cast(0 as decimal(38, 12)) as stated_dispute,
        cast(null as {{ instant_type() }}) as stated_refund_at,
        cast(null as {{ instant_type() }}) as stated_dispute_at
    from charged

    union all

    select
        payment_key,
        payment_intent_id,
        charge_id,
        user_id,
        paid_currency,
        paid_amount,
        settlement_currency,
        settled_gross,
        settled_fee,
        settled_net,
        paid_at,
        last_event_at,
        refunded_amount as stated_refund,
        disputed_amount as stated_dispute,
        refunded_at as stated_refund_at,
        disputed_at as stated_dispute_at
    from {{ ref('int_stripe__unified_payments') }}

),

-- Stripe may state the customer's amount on some rows only. Rows that state only the settlement currency are
-- left out of the sums in the customer's currency. They do not make the stated amounts unknown.
returns as (

    select
        transactions.*,
        paid.paid_currency,
        paid.settled_gross as paid_gross,
        coalesce(transactions.presentment_currency = paid.paid_currency, false) as is_stated
    from transactions
    inner join paid on transactions.payment_key = paid.payment_key
    where transactions.movement in ('refund', 'dispute')

),

-- Returned money. A refund that failed or a dispute that was won restores it.
movements as (

    select
        payment_key,
        movement,
        max(payment_intent_id) as payment_intent_id,
        min(charge_id) as charge_id,
        max(user_id) as user_id,
        -sum(presentment_amount) filter (where is_stated) as stated_amount,
        -sum(gross) >= max(paid_gross) as is_whole,
        -- Restored money has another exchange rate than returned money. If not all of it is stated, rows are
        -- counted instead.
        sum(case when gross < 0 then 1 when gross > 0 then -1 else 0 end) <= 0 as is_undone,
        coalesce(sum(case when gross < 0 then 1 when gross > 0 then -1 else 0 end) filter (where not is_stated), 0) as unstated_rows,
        bool_and(is_stated) as is_stated,
        max(created_at) as last_event_at,
        min(created_at) as first_event_at
    from returns
    group by payment_key, movement

),

amounts as (

    select
        movements.*,
        case
            when movements.is_stated then movements.stated_amount
            when movements.is_undone then 0
            when movements.is_whole then paid.paid_amount
            -- If at least as many unstated rows were returned as restored, the returned amount is at least
            -- the stated one, which is NULL if nothing is stated. Otherwise the amount is unknown.
            when movements.unstated_rows >= 0 then movements.stated_amount
        end as amount,
        not movements.is_stated and not movements.is_undone and not movements.is_whole and movements.unstated_rows <> 0 as has_unknown_part
    from movements
    inner join paid on movements.payment_key = paid.payment_key

),

returned as (

    select
        payment_key,
        max(payment_intent_id) as payment_intent_id,
        min(charge_id) as charge_id,
        max(user_id) as user_id,
        max(amount) filter (where movement = 'refund') as refunded_amount,
        max(amount) filter (where movement = 'dispute') as disputed_amount,
        coalesce(bool_or(has_unknown_part) filter (where movement = 'refund'), false) as has_unknown_refund,
        coalesce(bool_or(has_unknown_part) filter (where movement = 'dispute'), false) as has_unknown_dispute,
        max(last_event_at) as last_event_at,
        min(first_event_at) filter (where movement = 'refund') as refunded_at,
        min(first_event_at) filter (where movement = 'dispute') as disputed_at
    from amounts
    group by payment_key

)

select
    ---------- ids
    paid.payment_key,
    coalesce(paid.payment_intent_id, returned.payment_intent_id) as payment_intent_id,
    coalesce(paid.charge_id, returned.charge_id) as charge_id,
    coalesce(paid.user_id, returned.user_id) as user_id,

    ---------- money, as the customer sees it
    paid.paid_currency,
    paid.paid_amount,
    case
        when returned.refunded_at is null then paid.stated_refund
        when returned.refunded_amount < 0 then 0
        else returned.refunded_amount
    end as refunded_amount,
    case
        when returned.disputed_at is null then paid.stated_dispute
        when returned.disputed_amount < 0 then 0
        else returned.disputed_amount
    end as disputed_amount,
    coalesce(returned.has_unknown_refund, false) as has_unknown_refund,
    coalesce(returned.has_unknown_dispute, false) as has_unknown_dispute,

    ---------- money, in the currency of the account's balance
    paid.settlement_currency,
    paid.settled_gross,
    paid.settled_fee,
    paid.settled_net,

    ---------- time
    paid.paid_at,
    coalesce(greatest(paid.last_event_at, returned.last_event_at), paid.last_event_at) as last_event_at,
    coalesce(returned.refunded_at, paid.stated_refund_at) as refunded_at,
    coalesce(returned.disputed_at, paid.stated_dispute_at) as disputed_at
from paid
left join returned on paid.payment_key = returned.payment_key
