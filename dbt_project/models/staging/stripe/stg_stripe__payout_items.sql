with

items as (select * from {{ source('stripe', 'payout_items') }}),

mode as (select * from {{ ref('stg_stripe__mode') }}),

rows_of_mode as (

    select items.*
    from items
    inner join mode on items.livemode = mode.livemode

)

select
    ---------- landing order
    batch_seq,
    file_no,
    line,

    ---------- ids
    balance_transaction_id,
    automatic_payout_id as payout_id,
    account_id,

    ---------- what
    coalesce(reporting_category, 'unknown') as reporting_category,

    ---------- money
    currency,
    gross,
    fee,
    net,

    ---------- time
    automatic_payout_effective_at as payout_effective_at
from rows_of_mode
