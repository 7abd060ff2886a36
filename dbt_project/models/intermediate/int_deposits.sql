with

entries as (select * from {{ ref('fct_ledger_entries') }} where status = 'settled'),

deposits as (select * from entries where entry_type = 'deposit' and funding = 'paid'),

-- Contract 5: what takes a credit back names its deposit. In another currency it takes back something else.
takers as (

    select
        related_entry_id as entry_id,
        currency,
        sum(case when entry_type = 'adjustment' then -amount else amount end) as clawed_back_amount,
        max(occurred_at) as clawed_back_at
    from entries
    where
        related_entry_id is not null
        and (entry_type in ('refund', 'withdrawal') or entry_type = 'adjustment' and amount < 0)
    group by related_entry_id, currency

)

select
    ---------- ids
    deposits.entry_id,
    deposits.user_id,
    deposits.rail,
    deposits.payment_intent_id,
    deposits.charge_id,
    deposits.checkout_session_id,
    deposits.payment_id,
    coalesce(deposits.payment_intent_id, deposits.charge_id, deposits.checkout_session_id, deposits.payment_id) is not null as has_key,

    ---------- money
    deposits.currency,
    deposits.amount,
    {{ money('takers.clawed_back_amount') }} as clawed_back_amount,

    ---------- time
    deposits.occurred_at,
    takers.clawed_back_at
from deposits
left join takers on deposits.entry_id = takers.entry_id and deposits.currency = takers.currency
