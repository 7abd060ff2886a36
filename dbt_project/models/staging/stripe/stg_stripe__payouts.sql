with

payouts as (select * from {{ source('stripe', 'payouts') }}),

mode as (select * from {{ ref('stg_stripe__mode') }}),

rows_of_mode as (

    select payouts.*
    from payouts
    inner join mode on payouts.livemode = mode.livemode

)

select
    ---------- landing order
    batch_seq,
    file_no,
    line,

    ---------- ids
    payout_id,
    balance_transaction_id,
    account_id,

    ---------- what
    payout_status,
    coalesce(reporting_category, 'payout') as reporting_category,

    ---------- money
    currency,
    gross,
    fee,
    net,

    ---------- time
    effective_at,
    arrival_date
from rows_of_mode
