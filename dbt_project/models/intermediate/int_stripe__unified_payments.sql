with

accounts as (select * from {{ ref('int_stripe__accounts') }}),

transactions as (select * from {{ ref('int_stripe__transactions') }}),

coverage as (

    select
        accounts.account_id,
        coverage.currency,
        coverage.covered_from,
        coverage.covered_until
    from {{ ref('int_stripe__coverage') }} as coverage
    inner join accounts on coverage.account_id = accounts.stated_account_id
    where coverage.source = 'stripe/balance_change_from_activity.itemized'

),

landed as (

    select
        *,
        row_number() over (partition by payment_id order by batch_seq desc, file_no desc, line desc) as recency
    from {{ ref('stg_stripe__unified_payments') }}

),

-- A later export replaces what an earlier one states. A payment that was not captured moved no money.
charges as (

    select
        landed.*,
        accounts.account_id as assigned_account_id
    from landed
    inner join accounts on landed.account_id = accounts.stated_account_id
    where landed.recency = 1 and landed.is_paid

),

-- What the activity has of these payments, by their charge or their payment intent.
stated as (

    select
        charges.payment_id,
        transactions.payment_key,
        transactions.movement
    from charges
    inner join transactions on charges.charge_id = transactions.charge_id

    union all

    select
        charges.payment_id,
        transactions.payment_key,
        transactions.movement
    from charges
    inner join transactions on charges.payment_intent_id = transactions.payment_intent_id

),

known as (

    select
        payment_id,
        -- The activity may have only what was returned of a payment that is older than its first report.
        max(payment_key) as payment_key,
        bool_or(movement = 'payment') as has_payment
    from stated
    where movement in ('payment', 'refund', 'dispute')
    group by payment_id

),

-- The activity has everything that happened in its span. A payment that it lacks there is none.
covered as (

    select distinct charges.payment_id
    from charges
    inner join coverage
        on
            charges.assigned_account_id = coverage.account_id
            and (coverage.currency is null or charges.converted_currency = coverage.currency)
            and charges.created_at >= coverage.covered_from
            and charges.created_at < coverage.covered_until

),

-- An amount that the export does not state is NULL.
amounts as (

    select
        charges.*,
        coalesce(known.payment_key, 'stripe:' || coalesce(charges.payment_intent_id, charges.payment_id)) as payment_key,
        coalesce(known.has_payment, false) or covered.payment_id is not null as is_in_reports,
        case
            when charges.refunded_amount > 0 then charges.refunded_amount
            when charges.payment_status = 'refunded' then charges.amount
            when charges.payment_status <> 'partially_refunded' then 0
        end as returned_amount,
        -- A dispute without a status is one that is stated by its amount, or by the status of the payment.
        case
            when charges.dispute_status in ('won', 'none') then 0
            when charges.dispute_status is null and charges.payment_status <> 'disputed' and coalesce(charges.disputed_amount, 0) = 0 then 0
            when charges.disputed_amount = charges.amount or charges.disputed_amount > 0 and charges.converted_currency = charges.currency
                then charges.disputed_amount
            when charges.disputed_amount = charges.converted_amount then charges.amount
        end as withdrawn_amount
    from charges
    left join known on charges.payment_id = known.payment_id
    left join covered on charges.payment_id = covered.payment_id

),

-- A payment may have several charges. Their sum is known if every one is.
summed as (

    select
        payment_key,
        max(payment_intent_id) as payment_intent_id,
        min(charge_id) as charge_id,
        max(user_id) as user_id,
        min(currency) as paid_currency,
        case when min(currency) = max(currency) then sum(amount) end as paid_amount,
        case when min(currency) = max(currency) and count(*) = count(returned_amount) then sum(returned_amount) end as refunded_amount,
        case when min(currency) = max(currency) and count(*) = count(withdrawn_amount) then sum(withdrawn_amount) end as disputed_amount,
        min(converted_currency) as converted_currency,
        case
            when min(converted_currency) = max(converted_currency) and count(*) = count(converted_currency) and count(*) = count(converted_amount)
                then sum(converted_amount)
        end as settled_gross,
        case when count(*) = count(fee) then sum(fee) end as fee,
        min(created_at) as paid_at,
        min(case when coalesce(returned_amount, 1) > 0 then coalesce(refunded_at, created_at) end) as refunded_at,
        min(case when coalesce(withdrawn_amount, 1) > 0 then coalesce(disputed_at, created_at) end) as disputed_at,
        max(greatest(created_at, refunded_at, disputed_at)) as last_event_at,
        bool_or(is_in_reports) as is_in_reports
    from amounts
    group by payment_key

)

select
    ---------- ids
    payment_key,
    payment_intent_id,
    charge_id,
    user_id,

    ---------- money, as the customer sees it
    paid_currency,
    paid_amount,
    refunded_amount,
    disputed_amount,

    ---------- money, in the currency of the account's balance
    case when settled_gross is not null then converted_currency end as settlement_currency,
    settled_gross,
    case when settled_gross is not null then fee end as settled_fee,
    settled_gross - fee as settled_net,

    ---------- time
    paid_at,
    refunded_at,
    disputed_at,
    last_event_at
from summed
-- The balance report has more than the export, and counts alone where it has the payment or covers its time.
where not is_in_reports
