with

transactions as (select * from {{ source('stripe', 'balance_transactions') }}),

mode as (select * from {{ ref('stg_stripe__mode') }}),

rows_of_mode as (

    select transactions.*
    from transactions
    inner join mode on transactions.livemode = mode.livemode

)

select
    ---------- landing order
    batch_seq,
    file_no,
    line,

    ---------- ids
    balance_transaction_id,
    account_id,
    source_id,
    case
        when reporting_category like 'payout%' then null
        when charge_id is not null then charge_id
        when left(source_id, 3) in ('ch_', 'py_') then source_id
    end as charge_id,
    payment_intent_id,
    automatic_payout_id,
    user_id,

    ---------- what
    reporting_category,

    ---------- money, in the currency of the account's balance
    currency,
    gross,
    fee,
    net,

    ---------- money, as the customer sees it
    customer_facing_currency,
    customer_facing_amount,

    ---------- time
    created_at,
    available_at
from rows_of_mode
