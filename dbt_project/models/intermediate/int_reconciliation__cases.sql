with

payments as (select * from {{ ref('int_payments') }}),

deposits as (select * from {{ ref('int_deposits') }}),

matches as (select * from {{ ref('int_deposits__matched') }}),

reach as (select * from {{ ref('int_reconciliation__reach') }}),

credits as (

    select
        deposits.*,
        matches.payment_key,
        matches.match_method,
        matches.rank,
        payments.paid_currency,
        deposits.currency = payments.paid_currency as is_in_paid_currency
    from deposits
    inner join matches on deposits.entry_id = matches.entry_id
    inner join payments on matches.payment_key = payments.payment_key

),

-- Currencies are never added together. Each has its own sums.
credited_by_currency as (

    select
        payment_key,
        currency,
        is_in_paid_currency,
        sum(amount) as amount,
        sum(clawed_back_amount) as clawed_back_amount
    from credits
    group by payment_key, currency, is_in_paid_currency

),

-- The case shows the credits in the currency of the payment. If there are none, it shows those in the first
-- other currency.
shown_currencies as (

    select
        *,
        row_number() over (partition by payment_key order by is_in_paid_currency desc, currency asc) as position,
        bool_or(not coalesce(is_in_paid_currency, false) and amount <> clawed_back_amount) over (partition by payment_key) as has_net_in_other_currency
    from credited_by_currency

),

credited as (

    select
        credits.payment_key,
        {{ sorted_list('credits.entry_id') }} as deposit_entry_ids,
        count(*) as deposits,
        min_by(credits.match_method, credits.rank) as match_method,
        min(credits.user_id) as user_id,
        min(credits.checkout_session_id) as checkout_session_id,
        min(credits.payment_id) as payment_id,
        coalesce(bool_or(not credits.is_in_paid_currency), false) as has_other_currency,
        bool_or(shown.has_net_in_other_currency) as has_net_in_other_currency,
        min(shown.currency) as ledger_currency,
        min(shown.amount) as amount,
        min(shown.clawed_back_amount) as clawed_back_amount,
        min(credits.occurred_at) as first_credited_at,
        max(credits.occurred_at) as last_credited_at,
        max(credits.clawed_back_at) as clawed_back_at,
        max(credits.restored_at) as restored_at
    from credits
    inner join shown_currencies as shown on credits.payment_key = shown.payment_key and shown.position = 1
    group by credits.payment_key

),

of_payments as (

    select
        payments.payment_key as case_id,
        payments.rail,
        coalesce(credited.user_id, payments.user_id) as user_id,
        payments.payment_intent_id,
        payments.charge_id,
        coalesce(payments.checkout_session_id, credited.checkout_session_id) as checkout_session_id,
        coalesce(payments.payment_id, credited.payment_id) as payment_id,
        credited.deposit_entry_ids,
        coalesce(credited.deposits, 0) as deposits,
        true as has_payment,
        credited.match_method,
        coalesce(credited.has_other_currency, false) as has_other_currency,
        coalesce(credited.has_net_in_other_currency, false) as has_net_in_other_currency,
        credited.ledger_currency,
        credited.amount as ledger_amount,
        credited.clawed_back_amount,
        payments.paid_currency,
        payments.paid_amount,
        payments.settlement_currency,
        payments.settled_gross,
        payments.settled_fee,
        payments.settled_net,
        payments.refunded_amount,
        payments.disputed_amount,
        payments.has_unknown_refund,
        payments.has_unknown_dispute,
        payments.paid_at,
        payments.refunded_at,
        payments.disputed_at,
        credited.first_credited_at,
        credited.last_credited_at,
        payments.last_event_at,
        credited.clawed_back_at,
        credited.restored_at,
        cast(null as {{ instant_type() }}) as data_until,
        false as has_no_source
    from payments
    left join credited on payments.payment_key = credited.payment_key

),

of_lone_deposits as (

    select
        'deposit:' || deposits.entry_id as case_id,
        deposits.rail,
        deposits.user_id,
        deposits.payment_intent_id,
        deposits.charge_id,
        deposits.checkout_session_id,
        deposits.payment_id,
        {{ list_of('deposits.entry_id') }} as deposit_entry_ids,
        1 as deposits,
        false as has_payment,
        cast(null as {{ text_type() }}) as match_method,
        false as has_other_currency,
        false as has_net_in_other_currency,
        deposits.currency as ledger_currency,
        deposits.amount as ledger_amount,
        deposits.clawed_back_amount,
        cast(null as {{ text_type() }}) as paid_currency,
        cast(null as decimal(38, 12)) as paid_amount,
        cast(null as {{ text_type() }}) as settlement_currency,
        cast(null as decimal(38, 12)) as settled_gross,
        cast(null as decimal(38, 12)) as settled_fee,
        cast(null as decimal(38, 12)) as settled_net,
        cast(null as decimal(38, 12)) as refunded_amount,
        cast(null as decimal(38, 12)) as disputed_amount,
        false as has_unknown_refund,
        false as has_unknown_dispute,
        cast(null as {{ instant_type() }}) as paid_at,
        cast(null as {{ instant_type() }}) as refunded_at,
        cast(null as {{ instant_type() }}) as disputed_at,
        deposits.occurred_at as first_credited_at,
        deposits.occurred_at as last_credited_at,
        cast(null as {{ instant_type() }}) as last_event_at,
        deposits.clawed_back_at,
        deposits.restored_at,
        reach.data_until,
        coalesce(reach.has_no_source, false) as has_no_source
    from deposits
    anti join matches on deposits.entry_id = matches.entry_id
    left join reach on deposits.entry_id = reach.entry_id

)

select * from of_payments
union all
select * from of_lone_deposits
