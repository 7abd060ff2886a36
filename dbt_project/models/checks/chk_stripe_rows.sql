{%- set payout_items -%}
(
    select * from staging.stg_stripe__payout_items
    qualify row_number() over (partition by payout_id, balance_transaction_id order by batch_seq desc, file_no desc, line desc) = 1
)
{%- endset -%}
{%- set sums_query -%}
select files.path, rows.line, rows.id, rows.gross - rows.fee as expected, rows.net as actual
from (
    select batch_seq, file_no, line, balance_transaction_id as id, gross, fee, net from intermediate.int_stripe__transactions
    union all
    select * from (
        select batch_seq, file_no, line, coalesce(balance_transaction_id, payout_id) as id, gross, fee, net from staging.stg_stripe__payouts
        qualify row_number() over (partition by payout_id, reporting_category order by batch_seq desc, file_no desc, line desc) = 1
    )
    union all
    select batch_seq, file_no, line, balance_transaction_id as id, gross, fee, net from {{ payout_items }}
) as rows
join raw.loaded_files as files using (batch_seq, file_no)
where rows.net <> rows.gross - rows.fee
order by files.path, rows.line
{%- endset -%}
{%- set confirmation_query -%}
select files.path, rows.line, rows.balance_transaction_id as id, 2 as expected, rows.agreeing_statements as actual
from intermediate.int_stripe__transactions as rows
join raw.loaded_files as files using (batch_seq, file_no)
where rows.agreeing_statements < rows.statements and rows.agreeing_statements < 2
order by files.path, rows.line
{%- endset -%}
{%- set agreement_query -%}
select files.path, items.line, items.balance_transaction_id as id, activity.net as expected, items.net as actual
from {{ payout_items }} as items
join intermediate.int_stripe__transactions as activity using (balance_transaction_id)
join raw.loaded_files as files on items.batch_seq = files.batch_seq and items.file_no = files.file_no
where items.gross <> activity.gross or items.fee <> activity.fee or items.net <> activity.net or items.currency <> activity.currency
order by files.path, items.line
{%- endset -%}
{%- set signs_query -%}
select rows.path, min(rows.line) as line, rows.account_id || ' ' || rows.currency as id, 0 as expected, count(*) as actual
from (
    select * from intermediate.int_stripe__payouts
    qualify row_number() over (partition by payout_id, reporting_category order by batch_seq desc, file_no desc, line desc) = 1
) as rows
where rows.has_mixed_signs
group by rows.path, rows.account_id, rows.currency
order by rows.path, rows.account_id, rows.currency
{%- endset -%}
{%- set presentment_query -%}
select files.path, rows.line, rows.balance_transaction_id as id, rows.gross as expected, rows.presentment_amount as actual
from intermediate.int_stripe__transactions as rows
join raw.loaded_files as files using (batch_seq, file_no)
where rows.reporting_category in ('charge', 'refund') and rows.presentment_currency = rows.currency
    and rows.presentment_amount <> rows.gross
    and rows.payment_key not in (
        select payment_key from intermediate.int_stripe__transactions where reporting_category = 'partial_capture_reversal'
    )
order by files.path, rows.line
{%- endset -%}
{%- set returns_query -%}
select files.path, rows.line, rows.balance_transaction_id as id, 1 as expected, 0 as actual
from intermediate.int_stripe__transactions as rows
join raw.loaded_files as files using (batch_seq, file_no)
where rows.movement in ('refund', 'dispute') and rows.payment_key not in (select payment_key from intermediate.int_payments)
order by files.path, rows.line
{%- endset -%}
with

files as (select * from {{ source('run', 'loaded_files') }}),

payments as (select * from {{ ref('int_payments') }}),

transactions as (

    select
        transactions.*,
        files.path
    from {{ ref('int_stripe__transactions') }} as transactions
    inner join files on transactions.batch_seq = files.batch_seq and transactions.file_no = files.file_no

),

-- A payout row that is landed again replaces the earlier row.
payout_rows as (

    select
        payouts.*,
        files.path,
        row_number() over (
            partition by payouts.payout_id, payouts.reporting_category
            order by payouts.batch_seq desc, payouts.file_no desc, payouts.line desc
        ) as position
    from {{ ref('stg_stripe__payouts') }} as payouts
    inner join files on payouts.batch_seq = files.batch_seq and payouts.file_no = files.file_no

),

-- A transaction may be both in a payout that was returned and in the next payout.
payout_items as (

    select
        items.*,
        files.path,
        row_number() over (
            partition by items.payout_id, items.balance_transaction_id
            order by items.batch_seq desc, items.file_no desc, items.line desc
        ) as position
    from {{ ref('stg_stripe__payout_items') }} as items
    inner join files on items.batch_seq = files.batch_seq and items.file_no = files.file_no

),

-- A later row of the same payout corrects its sign.
signed_payouts as (

    select
        *,
        row_number() over (
            partition by payout_id, reporting_category
            order by batch_seq desc, file_no desc, line desc
        ) as position
    from {{ ref('int_stripe__payouts') }}

),

rows_with_sums as (

    select
        path,
        line,
        balance_transaction_id as id,
        gross,
        fee,
        net
    from transactions

    union all

    select
        path,
        line,
        coalesce(balance_transaction_id, payout_id) as id,
        gross,
        fee,
        net
    from payout_rows
    where position = 1

    union all

    select
        path,
        line,
        balance_transaction_id as id,
        gross,
        fee,
        net
    from payout_items
    where position = 1

),

-- A part of a payment that was not captured may be included in only one of the two amounts.
partly_captured as (select payment_key from transactions where reporting_category = 'partial_capture_reversal'),

-- Faults of a group of rows are in the order of the groups.
faults as (

    select
        'stripe_rows_add_up' as name,
        path,
        line,
        line as line_order,
        id,
        {{ money('gross - fee') }} as expected,
        {{ money('net') }} as actual
    from rows_with_sums
    where net <> gross - fee

    union all

    -- One download of the row was altered. A third one shows which.
    select
        'stripe_rows_are_confirmed' as name,
        path,
        line,
        line as line_order,
        balance_transaction_id as id,
        {{ money('2') }} as expected,
        {{ money('agreeing_statements') }} as actual
    from transactions
    where agreeing_statements < statements and agreeing_statements < 2

    union all

    select
        'stripe_reports_agree' as name,
        items.path,
        items.line,
        items.line as line_order,
        items.balance_transaction_id as id,
        {{ money('activity.net') }} as expected,
        {{ money('items.net') }} as actual
    from payout_items as items
    inner join transactions as activity on items.balance_transaction_id = activity.balance_transaction_id
    where
        items.position = 1
        and (
            items.gross <> activity.gross
            or items.fee <> activity.fee
            or items.net <> activity.net
            or items.currency <> activity.currency
        )

    union all

    select
        'stripe_payouts_have_one_sign' as name,
        path,
        min(line) as line,
        cast(0 as bigint) as line_order,
        account_id || ' ' || currency as id,
        {{ money('0') }} as expected,
        {{ money('count(*)') }} as actual
    from signed_payouts
    where position = 1 and has_mixed_signs
    group by path, account_id, currency

    union all

    select
        'stripe_presentment_is_the_settlement' as name,
        transactions.path,
        transactions.line,
        transactions.line as line_order,
        transactions.balance_transaction_id as id,
        {{ money('transactions.gross') }} as expected,
        {{ money('transactions.presentment_amount') }} as actual
    from transactions
    anti join partly_captured on transactions.payment_key = partly_captured.payment_key
    where
        transactions.reporting_category in ('charge', 'refund')
        and transactions.presentment_currency = transactions.currency
        and transactions.presentment_amount <> transactions.gross

    union all

    -- The charge may be older than the first report. Whether it was credited is then unknown.
    select
        'stripe_returns_have_a_payment' as name,
        transactions.path,
        transactions.line,
        transactions.line as line_order,
        transactions.balance_transaction_id as id,
        {{ money('1') }} as expected,
        {{ money('0') }} as actual
    from transactions
    anti join payments on transactions.payment_key = payments.payment_key
    where transactions.movement in ('refund', 'dispute')

),

{{ checks_of_faults(
    [
        ('stripe_rows_add_up', 'error', sums_query),
        ('stripe_rows_are_confirmed', 'error', confirmation_query),
        ('stripe_reports_agree', 'error', agreement_query),
        ('stripe_payouts_have_one_sign', 'error', signs_query),
        ('stripe_presentment_is_the_settlement', 'error', presentment_query),
        ('stripe_returns_have_a_payment', 'warn', returns_query),
    ],
    order_by=['path', 'line_order', 'id'],
) }}
