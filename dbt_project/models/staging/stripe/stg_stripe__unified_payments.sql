with

payments as (select * from {{ source('stripe', 'unified_payments') }}),

mode as (select * from {{ ref('stg_stripe__mode') }}),

rows_of_mode as (

    select payments.*
    from payments
    inner join mode on payments.livemode = mode.livemode

)

select
    ---------- landing order
    batch_seq,
    file_no,
    line,

    ---------- ids
    payment_id,
    account_id,
    case when left(payment_id, 3) <> 'pi_' then payment_id end as charge_id,
    coalesce(payment_intent_id, case when left(payment_id, 3) = 'pi_' then payment_id end) as payment_intent_id,
    user_id,

    ---------- what
    payment_status,
    dispute_status,
    coalesce(payment_status in ('paid', 'refunded', 'partially_refunded', 'disputed') and coalesce(captured, 'true') <> 'false', false) as is_paid,

    ---------- money, as the customer sees it
    currency,
    amount,
    refunded_amount,
    disputed_amount,

    ---------- money, in the currency of the account's balance
    converted_currency,
    converted_amount,
    cast(fee + coalesce(taxes_on_fee, 0) as decimal(38, 12)) as fee,

    ---------- time
    created_at,
    refunded_at,
    disputed_at
from rows_of_mode
