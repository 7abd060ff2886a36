with

landed as (

    select
        *,
        row_number() over (partition by payout_id order by batch_seq, file_no, line) as position
    from {{ ref('int_stripe__payouts') }}

),

payouts as (

    select
        payout_id,
        max_by(account_id, position) as account_id,
        max_by(currency, position) as currency,
        -- The bank gets the gross amount. The fee of an instant payout leaves the balance separately.
        max_by(paid_gross, position) filter (where reporting_category = 'payout') as amount,
        max_by(payout_status, position) filter (where payout_status is not null) as payout_status,
        bool_or(reporting_category <> 'payout') as came_back,
        max_by(arrival_date, position) filter (where arrival_date is not null) as arrival_date,
        min(effective_at) as effective_at
    from landed
    group by payout_id

),

items as (select * from {{ ref('int_stripe__payout_items') }}),

joined as (

    select
        coalesce(payouts.payout_id, items.payout_id) as payout_id,
        coalesce(payouts.account_id, items.account_id) as account_id,
        coalesce(payouts.currency, items.currency) as currency,
        payouts.amount,
        coalesce(payouts.payout_status, case when payouts.came_back then 'failed' else 'unknown' end) as status,
        coalesce(payouts.arrival_date, cast(coalesce(payouts.effective_at, items.effective_at) as date)) as arrival_date,
        coalesce(payouts.effective_at, items.effective_at) as effective_at,
        items.items,
        items.items_net
    from payouts
    full outer join items on payouts.payout_id = items.payout_id

)

select
    ---------- ids
    payout_id,
    account_id,

    status,

    ---------- money
    currency,
    cast(amount as decimal(38, 12)) as amount,
    {{ whole('items') }} as items,
    {{ money('items_net') }} as items_net,
    cast(amount - coalesce(items_net, 0) as decimal(38, 12)) as difference,
    coalesce(items > 0 and amount = items_net, false) as is_reconciled,

    ---------- time
    effective_at,
    arrival_date
from joined
