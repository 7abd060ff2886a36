with

cases as (select * from {{ ref('int_reconciliation__cases') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

-- Net amounts are compared (docs/contract.md#54-the-net-counts). A NULL amount is unknown, and every amount
-- computed from it is unknown too.
compared as (

    select
        cases.*,
        settings.as_of,
        cases.has_payment and (cases.has_unknown_refund or cases.refunded_amount is null) as is_refund_unknown,
        cases.has_payment and (cases.has_unknown_dispute or cases.disputed_amount is null) as is_dispute_unknown,
        coalesce(cases.refunded_amount, 0) as known_refund,
        coalesce(cases.disputed_amount, 0) as known_dispute,
        cases.ledger_amount - cases.clawed_back_amount as net_credit,
        case when cases.paid_currency = cases.ledger_currency then cases.ledger_amount - cases.paid_amount end as over_credit,
        least(cases.first_credited_at, cases.paid_at) as first_event_at,
        greatest(cases.last_credited_at, cases.paid_at, cases.last_event_at, cases.clawed_back_at, cases.restored_at) as last_event_at_of_both,
        {{ later_by_days('cases.paid_at', 'settings.recon_grace_days') }} as payment_due_at,
        {{ later_by_days('cases.first_credited_at', 'settings.recon_grace_days') }} as credit_due_at
    from cases
    cross join settings

),

-- An amount taken back first reduces a credit above the payment. A returned amount first makes up for a
-- credit below the payment. The remainders must be equal.
netted as (

    select
        *,
        case when not is_refund_unknown and not is_dispute_unknown then paid_amount - refunded_amount - disputed_amount end as net_payment,
        case when over_credit > 0 then clawed_back_amount - over_credit else clawed_back_amount end as taken_for_returns,
        case when over_credit < 0 then known_refund + known_dispute + over_credit else known_refund + known_dispute end as returned_beyond,
        case when over_credit < 0 then greatest(known_refund + over_credit, 0) else known_refund end as refund_beyond,
        least(ledger_amount, paid_amount) as paid_and_credited,
        {{ smallest_unit('ledger_currency') }} as smallest_unit
    from compared

),

classified as (

    select
        *,
        deposits = 0 or coalesce(match_method = 'suggested', false) as is_uncredited,
        coalesce(known_refund + known_dispute >= paid_amount, false) as is_returned,
        coalesce(
            net_credit = net_payment and not has_net_in_other_currency and (over_credit is not null or net_credit = 0), false
        ) as is_even,
        coalesce(has_other_currency and (over_credit is null or has_net_in_other_currency), false) as is_in_other_currency,
        -- If the currencies differ, only the numbers are compared. They distinguish a second credit from a
        -- split one.
        deposits > 1 and coalesce(net_credit > paid_amount or over_credit is not null and net_credit = paid_amount and has_net_in_other_currency, false)
            as is_duplicate,
        coalesce(paid_amount is null or taken_for_returns < 0 or returned_beyond < 0, false) as is_amount_open,
        -- Less was taken back than was returned. If a returned amount is unknown, any amount taken back for
        -- it is sufficient.
        coalesce(
            taken_for_returns < paid_and_credited
            and (taken_for_returns < returned_beyond or (is_refund_unknown or is_dispute_unknown) and taken_for_returns = returned_beyond),
            false
        ) as is_short,
        -- A ledger can take back fractions of a cent, which no processor can pay out. Less than the smallest
        -- payable amount is not too much.
        coalesce(taken_for_returns - returned_beyond >= smallest_unit and not is_refund_unknown and not is_dispute_unknown, false) as is_over,
        -- There is a refund and a dispute, and only one of them was taken back. The amount shows which one.
        not is_dispute_unknown
        and (
            returned_beyond = refund_beyond
            or coalesce(
                taken_for_returns >= returned_beyond - refund_beyond and (is_refund_unknown or taken_for_returns <> refund_beyond), false
            )
        ) as is_dispute_covered,
        -- The credit no longer waits: either the data reach past it by more than the grace, or no source
        -- could hold its payment.
        credit_due_at <= as_of and coalesce(data_until > credit_due_at, has_no_source, false) as is_credit_overdue
    from netted

),

-- A payment waits for its credit, or a credit for its payment.
waiting as (

    select
        *,
        case
            when not has_payment and net_credit <= 0 and -net_credit < smallest_unit then 'settled'
            when not has_payment and not is_credit_overdue then 'pending'
            when not has_payment and net_credit < 0 then 'over_clawed_back'
            when not has_payment then 'ledger_only'
            when is_uncredited and deposits = 0 and is_returned then 'settled'
            when is_uncredited and payment_due_at > as_of then 'pending'
            when is_uncredited then 'processor_only'
            when is_even then 'settled'
        end as one_sided
    from classified

),

-- The first rule that holds wins. NULL is a match.
decided as (

    select
        *,
        case
            when one_sided is not null then nullif(one_sided, 'settled')
            when is_duplicate then 'duplicate_deposit'
            when is_in_other_currency then 'currency_mismatch'
            when is_amount_open then 'amount_mismatch'
            when is_short and not is_dispute_covered then 'dispute_not_clawed_back'
            when is_over then 'over_clawed_back'
            when is_short then 'refund_not_clawed_back'
        end as verdict
    from waiting

)

select
    ---------- ids
    case_id,
    rail,
    user_id,
    payment_intent_id,
    charge_id,
    checkout_session_id,
    payment_id,
    coalesce(deposit_entry_ids, {{ no_texts() }}) as deposit_entry_ids,
    match_method,

    ---------- money as credited and as paid by the customer
    ledger_currency,
    cast(ledger_amount as decimal(38, 12)) as ledger_amount,
    paid_currency,
    cast(paid_amount as decimal(38, 12)) as paid_amount,

    ---------- money as settled
    settlement_currency,
    cast(settled_gross as decimal(38, 12)) as settled_gross,
    cast(settled_fee as decimal(38, 12)) as settled_fee,
    cast(settled_net as decimal(38, 12)) as settled_net,

    ---------- money that was returned or taken back
    cast(refunded_amount as decimal(38, 12)) as refunded_amount,
    cast(disputed_amount as decimal(38, 12)) as disputed_amount,
    {{ money('clawed_back_amount') }} as clawed_back_amount,
    is_refund_unknown or is_dispute_unknown as has_unknown_return,

    cast(
        case
            when not has_payment then ledger_amount
            when ledger_amount is null then -paid_amount
            else over_credit
        end as decimal(38, 12)
    ) as difference,
    cast(net_credit as decimal(38, 12)) as net_credit,
    cast(net_payment as decimal(38, 12)) as net_payment,

    ---------- time
    first_event_at,
    last_event_at_of_both as last_event_at,
    greatest({{ whole_days_between('first_event_at', 'as_of') }}, 0) as age_days,

    ---------- result
    case when verdict is null then 'matched' when verdict = 'pending' then 'pending' else 'break' end as status,
    case when verdict <> 'pending' then verdict end as break_type,
    cast(
        case
            when verdict in ('processor_only', 'ledger_only', 'duplicate_deposit') then 1
            when verdict in ('currency_mismatch', 'amount_mismatch', 'dispute_not_clawed_back', 'over_clawed_back') then 2
            when verdict = 'refund_not_clawed_back' then 3
        end as integer
    ) as priority,
    case verdict
        when 'processor_only' then payment_due_at
        when 'ledger_only' then credit_due_at
        when 'duplicate_deposit' then greatest(last_credited_at, restored_at)
        when 'currency_mismatch' then greatest(first_credited_at, paid_at)
        when 'amount_mismatch' then greatest(first_credited_at, paid_at)
        when 'dispute_not_clawed_back' then greatest(first_credited_at, disputed_at, restored_at)
        when 'over_clawed_back' then greatest(first_credited_at, paid_at, clawed_back_at)
        when 'refund_not_clawed_back' then greatest(first_credited_at, refunded_at, restored_at)
    end as broken_since
from decided
