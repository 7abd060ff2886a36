with

accounts as (select * from {{ ref('int_stripe__accounts') }}),

mode as (select * from {{ ref('stg_stripe__mode') }}),

coverage as (

    select *
    from {{ ref('int_stripe__coverage') }}
    where source in ('stripe/balance_change_from_activity.itemized', 'stripe/unified_payments')

),

files as (

    select
        files.batch_seq,
        files.file_no,
        files.source,
        accounts.account_id
    from {{ source('run', 'loaded_files') }} as files
    inner join mode on files.livemode = mode.livemode
    inner join accounts on files.account_id = accounts.stated_account_id
    where files.status = 'loaded' and files.covered_until is null

),

transactions as (

    select
        accounts.account_id,
        transactions.movement,
        transactions.currency,
        transactions.presentment_currency,
        transactions.created_at
    from {{ ref('int_stripe__transactions') }} as transactions
    inner join accounts on transactions.account_id = accounts.stated_account_id

),

deposit_currencies as (select distinct currency from {{ ref('int_deposits') }} where rail in ('stripe', 'unknown')),

named_accounts as (select distinct account_id from accounts),

-- If files do not state their span, the last row decides.
spanless as (select distinct account_id from files where source = 'stripe/balance_change_from_activity.itemized'),

last_rows as (

    select
        transactions.account_id,
        max(transactions.created_at) as data_until
    from transactions
    inner join spanless on transactions.account_id = spanless.account_id
    group by transactions.account_id

),

-- An export of payments that does not state its span has what was paid from its first to its last payment.
exports as (

    select
        files.account_id,
        min(payments.created_at) as covered_from,
        max(payments.created_at) as covered_until
    from {{ ref('stg_stripe__unified_payments') }} as payments
    inner join files on payments.batch_seq = files.batch_seq and payments.file_no = files.file_no
    where payments.is_paid
    group by files.account_id, payments.batch_seq, payments.file_no

),

-- An account may have files with and without its name. Gaps are found in their spans together.
spans as (

    select
        accounts.account_id,
        coverage.currency,
        coverage.covered_from,
        coverage.covered_until
    from coverage
    inner join accounts on coverage.account_id = accounts.stated_account_id

    union all

    select
        account_id,
        cast(null as {{ text_type() }}) as currency,
        covered_from,
        covered_until
    from exports

),

-- NULL is the balance of files that cover all currencies, as in int_stripe__coverage.
scopes as (

    select
        account_id,
        cast(null as {{ text_type() }}) as currency
    from named_accounts

    union

    select
        account_id,
        currency
    from spans

),

spans_of_scopes as (

    select
        scopes.account_id,
        scopes.currency,
        spans.covered_from,
        spans.covered_until
    from scopes
    inner join spans on scopes.account_id = spans.account_id and (spans.currency is null or scopes.currency = spans.currency)

),

pieces as (

    {{ gapless_pieces('spans_of_scopes', ['account_id', 'currency']) }}

),

-- A missing month hides everything that happened in it, so the data reach only to the first gap.
reached as (

    select
        scopes.account_id,
        scopes.currency,
        greatest(
            max(case when pieces.piece = 1 or last_rows.account_id is not null then pieces.covered_until end), max(last_rows.data_until)
        ) as data_until,
        coalesce(max(pieces.piece) > 1, false) and max(spanless.account_id) is null as has_gaps
    from scopes
    left join spanless on scopes.account_id = spanless.account_id
    left join last_rows on scopes.account_id = last_rows.account_id
    left join pieces on scopes.account_id = pieces.account_id and scopes.currency is not distinct from pieces.currency
    group by scopes.account_id, scopes.currency

),

-- The known balances of an account, and those that received payments in other currencies.
balances as (

    select
        account_id,
        currency
    from scopes
    where currency is not null

    union

    select
        account_id,
        currency
    from transactions

),

conversions as (

    select distinct
        account_id,
        presentment_currency as paid_currency,
        currency
    from transactions
    where movement = 'payment'

),

-- The balances that could hold a payment in the currency of a deposit. These are the balances that received
-- such payments, and the balance of that currency. The latter is left out if the account does not have it and
-- such payments are known to go elsewhere.
candidates as (

    select
        account_id,
        paid_currency,
        currency
    from conversions

    union

    select
        named_accounts.account_id,
        deposit_currencies.currency as paid_currency,
        deposit_currencies.currency
    from named_accounts
    cross join deposit_currencies
    left join balances on named_accounts.account_id = balances.account_id and deposit_currencies.currency = balances.currency
    left join conversions
        on named_accounts.account_id = conversions.account_id and deposit_currencies.currency = conversions.paid_currency
    where balances.currency is not null or conversions.currency is null

    union

    -- The account as a whole.
    select
        named_accounts.account_id,
        cast(null as {{ text_type() }}) as paid_currency,
        balances.currency
    from named_accounts
    left join balances on named_accounts.account_id = balances.account_id

),

-- A balance without files of its own is reached by the files of all balances.
reached_candidates as (

    select
        candidates.account_id,
        candidates.paid_currency,
        case when of_one.account_id is not null then of_one.data_until else of_all.data_until end as data_until,
        case when of_one.account_id is not null then of_one.has_gaps else of_all.has_gaps end as has_gaps
    from candidates
    inner join reached as of_all on candidates.account_id = of_all.account_id and of_all.currency is null
    left join reached as of_one on candidates.account_id = of_one.account_id and candidates.currency = of_one.currency

)

select
    account_id,
    paid_currency,
    case when count(*) = count(data_until) then min(data_until) end as data_until,
    bool_or(has_gaps) as has_gaps
from reached_candidates
group by account_id, paid_currency
