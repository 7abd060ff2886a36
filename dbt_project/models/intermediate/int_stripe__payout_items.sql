with

landed as (

    select
        *,
        row_number() over (partition by payout_id, balance_transaction_id order by batch_seq desc, file_no desc, line desc) as recency
    from {{ ref('stg_stripe__payout_items') }}
    where payout_id is not null

),

own_transactions as (

    select distinct
        payout_id,
        balance_transaction_id
    from {{ ref('stg_stripe__payouts') }}
    where balance_transaction_id is not null

)

select
    landed.payout_id,
    min(landed.account_id) as account_id,
    min(landed.currency) as currency,
    count(*) as items,
    sum(landed.net) as items_net,
    min(landed.payout_effective_at) as effective_at
from landed
-- The report may list the payout or its return next to its items. Returned money is an item of the next
-- payout.
anti join own_transactions
    on landed.payout_id = own_transactions.payout_id and landed.balance_transaction_id = own_transactions.balance_transaction_id
where landed.recency = 1 and landed.reporting_category <> 'payout'
group by landed.payout_id
