{#-
    For each column, the last landed download that states it wins. Reports with fewer columns remove nothing.
-#}
{%- set latest_stated = [
    'account_id', 'source_id', 'charge_id', 'payment_intent_id', 'automatic_payout_id', 'user_id',
    'customer_facing_currency', 'customer_facing_amount', 'available_at',
] -%}
with

landed as (

    select
        *,
        row_number() over (partition by balance_transaction_id order by batch_seq, file_no, line) as position
    from {{ ref('stg_stripe__balance_transactions') }}

),

latest as (

    select
        balance_transaction_id,
        {%- for column in latest_stated %}
        max_by({{ column }}, position) filter (where {{ column }} is not null) as {{ column }},
        {%- endfor %}
        max_by(reporting_category, position) as reporting_category,
        max_by(currency, position) as currency,
        max_by(gross, position) as gross,
        max_by(fee, position) as fee,
        max_by(net, position) as net,
        max_by(created_at, position) as created_at,
        max_by(batch_seq, position) as batch_seq,
        max_by(file_no, position) as file_no,
        max_by(line, position) as line,
        cast(count(*) as bigint) as statements
    from landed
    group by balance_transaction_id

),

-- Stripe makes corrections in new rows. The money of a row never changes. If downloads differ, one of them
-- was altered.
agreeing as (

    select
        landed.balance_transaction_id,
        cast(count(*) as bigint) as agreeing_statements
    from landed
    inner join latest on landed.balance_transaction_id = latest.balance_transaction_id
    where
        landed.currency = latest.currency
        and landed.gross = latest.gross
        and landed.fee = latest.fee
        and landed.net = latest.net
        and landed.reporting_category = latest.reporting_category
        -- Reports sign the customer's amount in two ways.
        and coalesce(abs(landed.customer_facing_amount), abs(latest.customer_facing_amount)) is not distinct from abs(latest.customer_facing_amount)
        and coalesce(landed.customer_facing_currency, latest.customer_facing_currency) is not distinct from latest.customer_facing_currency
    group by landed.balance_transaction_id

),

-- A refund or a dispute may state only its charge, while the rows of the payment state the payment intent.
payment_rows as (

    select
        payment_intent_id,
        charge_id,
        coalesce(payment_intent_id, charge_id, source_id, balance_transaction_id) as payment_id
    from latest
    where reporting_category in ('charge', 'partial_capture_reversal')

),

charges as (

    select
        charge_id,
        -- One row of a charge may state the payment intent while another does not.
        coalesce(max(payment_intent_id), max(payment_id)) as payment_id
    from payment_rows
    where charge_id is not null
    group by charge_id

),

intents as (select distinct payment_intent_id from payment_rows where payment_intent_id is not null),

resolved as (

    select
        latest.*,
        agreeing.agreeing_statements,
        coalesce(
            intents.payment_intent_id, charges.payment_id,
            latest.payment_intent_id, latest.charge_id, latest.source_id, latest.balance_transaction_id
        ) as payment_id,
        -- The customer's amount gets the sign of the balance's amount. Some reports sign it otherwise, or do
        -- not state it.
        coalesce(latest.customer_facing_currency, latest.currency) as presentment_currency,
        case
            when latest.customer_facing_amount is null then latest.gross
            when latest.gross < 0 then -abs(latest.customer_facing_amount)
            else abs(latest.customer_facing_amount)
        end as presentment_amount
    from latest
    inner join agreeing on latest.balance_transaction_id = agreeing.balance_transaction_id
    left join charges on latest.charge_id = charges.charge_id
    left join intents on latest.payment_intent_id = intents.payment_intent_id

)

select
    ---------- ids
    balance_transaction_id,
    account_id,
    payment_intent_id,
    charge_id,
    automatic_payout_id,
    user_id,
    'stripe:' || payment_id as payment_key,

    ---------- what
    reporting_category,
    case
        when reporting_category in ('charge', 'partial_capture_reversal') then 'payment'
        when reporting_category in ('refund', 'refund_failure', 'charge_failure') then 'refund'
        when reporting_category in ('dispute', 'dispute_reversal') then 'dispute'
        when reporting_category like 'payout%' then 'payout'
        else 'other'
    end as movement,

    ---------- money, in the currency of the account's balance
    currency,
    gross,
    fee,
    net,

    ---------- money, as the customer sees it
    presentment_currency,
    presentment_amount,

    ---------- time
    created_at,
    available_at,

    ---------- landing order, and number of statements
    batch_seq,
    file_no,
    line,
    statements,
    agreeing_statements
from resolved
