with

entries as (select * from {{ ref('fct_ledger_entries') }} where status = 'settled'),

deposits as (select * from entries where entry_type = 'deposit' and funding = 'paid'),

-- Entries that take a credit back or restore it name its deposit. Only those of the deposit's own wallet
-- count (docs/contract.md#54-the-net-counts).
movements as (

    select
        deposits.entry_id,
        -sum(entries.balance_effect) as clawed_back_amount,
        max(case when entries.balance_effect < 0 then entries.occurred_at end) as clawed_back_at,
        max(case when entries.balance_effect > 0 then entries.occurred_at end) as restored_at
    from deposits
    inner join entries
        on
            deposits.entry_id = entries.related_entry_id
            and deposits.user_id = entries.user_id
            and deposits.paywall_id = entries.paywall_id
            and deposits.currency = entries.currency
    where entries.entry_type in ('refund', 'withdrawal', 'adjustment')
    group by deposits.entry_id

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
    greatest({{ money('movements.clawed_back_amount') }}, {{ money('0') }}) as clawed_back_amount,

    ---------- time
    deposits.occurred_at,
    movements.clawed_back_at,
    movements.restored_at
from deposits
left join movements on deposits.entry_id = movements.entry_id
