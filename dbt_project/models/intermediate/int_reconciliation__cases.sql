with

payments as (select * from {{ ref('int_payments') }}),

deposits as (select * from {{ ref('int_deposits') }}),

matches as (select * from {{ ref('int_deposits__matched') }}),

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

credited as (

    select
        payment_key,
        {{ sorted_list('entry_id') }} as deposit_entry_ids,
        count(*) as deposits,
        min_by(match_method, rank) as match_method,
        min(user_id) as user_id,
        min(checkout_session_id) as checkout_session_id,
        min(payment_id) as payment_id,
        -- Currencies are never added: what was credited in the currency that was paid, and else in the first one.
        coalesce(bool_or(is_in_paid_currency), false) as has_paid_currency,
        coalesce(bool_or(not is_in_paid_currency), false) as has_other_currency,
        coalesce(min(paid_currency) filter (where is_in_paid_currency), min(currency)) as ledger_currency,
        sum(amount) filter (where is_in_paid_currency) as amount_in_paid_currency,
        sum(clawed_back_amount) filter (where is_in_paid_currency) as clawed_back_in_paid_currency,
        min(occurred_at) as first_credited_at,
        max(occurred_at) as last_credited_at,
        max(clawed_back_at) as clawed_back_at
    from credits
    group by payment_key

),

credited_otherwise as (

    select
        credits.payment_key,
        sum(credits.amount) as amount,
        sum(credits.clawed_back_amount) as clawed_back_amount
    from credits
    inner join credited on credits.payment_key = credited.payment_key and credits.currency = credited.ledger_currency
    where not credited.has_paid_currency
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
        credited.ledger_currency,
        case when credited.has_paid_currency then credited.amount_in_paid_currency else credited_otherwise.amount end as ledger_amount,
        case
            when credited.has_paid_currency then credited.clawed_back_in_paid_currency else credited_otherwise.clawed_back_amount
        end as clawed_back_amount,
        payments.paid_currency,
        payments.paid_amount,
        payments.settlement_currency,
        payments.settled_gross,
        payments.settled_fee,
        payments.settled_net,
        payments.refunded_amount,
        payments.disputed_amount,
        payments.paid_at,
        payments.refunded_at,
        payments.disputed_at,
        credited.first_credited_at,
        credited.last_credited_at,
        payments.last_event_at,
        credited.clawed_back_at
    from payments
    left join credited on payments.payment_key = credited.payment_key
    left join credited_otherwise on payments.payment_key = credited_otherwise.payment_key

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
        cast(null as {{ instant_type() }}) as paid_at,
        cast(null as {{ instant_type() }}) as refunded_at,
        cast(null as {{ instant_type() }}) as disputed_at,
        deposits.occurred_at as first_credited_at,
        deposits.occurred_at as last_credited_at,
        cast(null as {{ instant_type() }}) as last_event_at,
        deposits.clawed_back_at
    from deposits
    anti join matches on deposits.entry_id = matches.entry_id

)

select * from of_payments
union all
select * from of_lone_deposits
