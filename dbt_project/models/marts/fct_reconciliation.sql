with

cases as (select * from {{ ref('int_reconciliation__cases') }}),

reach as (select * from {{ ref('int_reconciliation__reach') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

compared as (

    select
        cases.*,
        settings.as_of,
        settings.recon_grace_days,
        reach.data_until,
        -- What went back may be unknown in the customer's currency; then it is not 0.
        coalesce(cases.refunded_amount <> 0, cases.has_payment) as has_refund,
        coalesce(cases.disputed_amount <> 0, cases.has_payment) as has_dispute,
        cases.refunded_amount + cases.disputed_amount as returned_amount,
        case when cases.paid_currency = cases.ledger_currency then cases.ledger_amount - cases.paid_amount end as over_credit,
        least(cases.first_credited_at, cases.paid_at) as first_event_at,
        greatest(cases.last_credited_at, cases.paid_at, cases.last_event_at, cases.clawed_back_at) as last_event_at_of_both
    from cases
    cross join settings
    left join reach on cases.rail = reach.rail

),

corrected as (

    select
        *,
        -- A credit beyond the payment that the ledger has taken back, over and above what it had to for refunds and disputes.
        coalesce(over_credit > 0 and clawed_back_amount - least(clawed_back_amount, returned_amount) >= over_credit, false) as is_corrected,
        case when returned_amount < ledger_amount then returned_amount when returned_amount >= ledger_amount then ledger_amount end as owed_back,
        {{ later_by_days('paid_at', 'recon_grace_days') }} as payment_due_at,
        {{ later_by_days('first_credited_at', 'recon_grace_days') }} as credit_due_at
    from compared

),

judged as (

    select
        *,
        deposits = 0 or coalesce(match_method = 'suggested', false) as is_uncredited,
        coalesce(returned_amount >= paid_amount, false) as is_returned,
        -- Taking back less than is owed; where that is not known, taking back nothing.
        (has_refund or has_dispute) and coalesce(clawed_back_amount < owed_back, clawed_back_amount = 0) as is_short
    from corrected

),

broken as (

    select
        *,
        -- Where the currencies differ the numbers alone are compared: they tell a second credit from one that was split.
        deposits > 1 and not is_corrected and (ledger_amount > paid_amount or over_credit = 0 and has_other_currency) as is_duplicate,
        -- One side waits for the other.
        case
            when not has_payment and clawed_back_amount >= ledger_amount then 'settled'
            when not has_payment and coalesce(data_until > credit_due_at, false) and credit_due_at <= as_of then 'ledger_only'
            when not has_payment then 'pending'
            when is_uncredited and deposits = 0 and is_returned then 'settled'
            when is_uncredited and payment_due_at > as_of then 'pending'
            when is_uncredited then 'processor_only'
        end as one_sided,
        is_short and has_dispute
        and not coalesce(clawed_back_amount >= disputed_amount and clawed_back_amount <> refunded_amount, false) as is_dispute_short
    from judged

),

-- The first that holds wins. NULL is a match.
decided as (

    select
        *,
        case
            when one_sided is not null then nullif(one_sided, 'settled')
            when is_duplicate then 'duplicate_deposit'
            when has_other_currency then 'currency_mismatch'
            when (over_credit <> 0 or paid_amount is null) and not is_corrected then 'amount_mismatch'
            when is_dispute_short then 'dispute_not_clawed_back'
            when is_short then 'refund_not_clawed_back'
        end as verdict
    from broken

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

    ---------- money, as it was credited and as the customer paid it
    ledger_currency,
    cast(ledger_amount as decimal(38, 12)) as ledger_amount,
    paid_currency,
    cast(paid_amount as decimal(38, 12)) as paid_amount,

    ---------- money, as it was settled
    settlement_currency,
    cast(settled_gross as decimal(38, 12)) as settled_gross,
    cast(settled_fee as decimal(38, 12)) as settled_fee,
    cast(settled_net as decimal(38, 12)) as settled_net,

    ---------- money that went back
    cast(refunded_amount as decimal(38, 12)) as refunded_amount,
    cast(disputed_amount as decimal(38, 12)) as disputed_amount,
    {{ money('clawed_back_amount') }} as clawed_back_amount,

    cast(
        case
            when not has_payment then ledger_amount
            when ledger_amount is null then -paid_amount
            else over_credit
        end as decimal(38, 12)
    ) as difference,

    ---------- time
    first_event_at,
    last_event_at_of_both as last_event_at,
    greatest({{ whole_days_between('first_event_at', 'as_of') }}, 0) as age_days,

    ---------- verdict
    case when verdict is null then 'matched' when verdict = 'pending' then 'pending' else 'break' end as status,
    case when verdict <> 'pending' then verdict end as break_type,
    cast(
        case
            when verdict in ('processor_only', 'ledger_only', 'duplicate_deposit') then 1
            when verdict in ('currency_mismatch', 'amount_mismatch', 'dispute_not_clawed_back') then 2
            when verdict = 'refund_not_clawed_back' then 3
        end as integer
    ) as priority,
    case verdict
        when 'processor_only' then payment_due_at
        when 'ledger_only' then credit_due_at
        when 'duplicate_deposit' then last_credited_at
        when 'currency_mismatch' then greatest(first_credited_at, paid_at)
        when 'amount_mismatch' then greatest(first_credited_at, paid_at)
        when 'dispute_not_clawed_back' then greatest(first_credited_at, disputed_at)
        when 'refund_not_clawed_back' then greatest(first_credited_at, refunded_at)
    end as broken_since
from decided
