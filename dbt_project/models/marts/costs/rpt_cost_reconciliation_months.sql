{{ config(tags=['bills']) }}

with

cases as (select * from {{ ref('fct_cost_reconciliation') }}),

lines as (select * from {{ ref('fct_bill_lines') }}),

invoice_rows as (select * from {{ ref('stg_bills__invoices') }}),

covered_days as (select * from {{ ref('int_bills__coverage') }}),

-- The last file with an invoice replaces the earlier ones, and so does the last row of a line in it.
last_invoice_rows as (

    select
        *,
        dense_rank() over (partition by provider, invoice_id order by batch_seq desc, file_no desc) as file_position,
        row_number() over (
            partition by provider, invoice_id, batch_seq, file_no, coalesce(invoice_detail_id, '')
            order by line desc
        ) as row_position
    from invoice_rows

),

invoices as (

    select
        provider,
        cast(date_trunc('month', period_start) as date) as month_start,
        currency,
        sum(amount) as invoiced_amount
    from last_invoice_rows
    where file_position = 1 and row_position = 1 and status not in ('void', 'draft')
    group by provider, cast(date_trunc('month', period_start) as date), currency

),

months_of_cases as (

    select
        provider,
        cast(date_trunc('month', usage_date) as date) as month_start,
        currency,
        sum(ledger_cost) filter (where status <> 'pending' and difference is not null) as ledger_cost,
        sum(billed_cost) filter (where status <> 'pending' and difference is not null) as billed_cost
    from cases
    group by provider, cast(date_trunc('month', usage_date) as date), currency

),

months_of_lines as (

    select
        provider,
        cast(date_trunc('month', usage_date) as date) as month_start,
        currency,
        sum(billed_amount) as stated_amount
    from lines
    group by provider, cast(date_trunc('month', usage_date) as date), currency

),

pending_days as (

    select distinct
        provider,
        usage_date as date_day
    from cases
    where status = 'pending'

),

days as (

    select
        covered_days.provider,
        cast(date_trunc('month', covered_days.date_day) as date) as month_start,
        count(*) as days_covered,
        count(*) filter (where pending_days.date_day is null) as days_compared
    from covered_days
    left join pending_days on covered_days.provider = pending_days.provider and covered_days.date_day = pending_days.date_day
    group by covered_days.provider, cast(date_trunc('month', covered_days.date_day) as date)

),

keys as (

    select
        provider,
        month_start,
        currency
    from months_of_cases
    union
    select
        provider,
        month_start,
        currency
    from months_of_lines
    union
    select
        provider,
        month_start,
        currency
    from invoices

),

billed_months as (

    select distinct
        provider,
        month_start
    from months_of_lines
    union
    select
        provider,
        month_start
    from days

)

select
    ---------- grain
    keys.provider,
    keys.month_start,
    keys.currency,

    ---------- compared cases
    {{ money('months_of_cases.ledger_cost') }} as ledger_cost,
    {{ money('months_of_cases.billed_cost') }} as billed_cost,
    {{ money('months_of_cases.billed_cost - months_of_cases.ledger_cost') }} as difference,

    ---------- invoices
    cast(invoices.invoiced_amount as decimal(38, 12)) as invoiced_amount,
    cast(coalesce(months_of_lines.stated_amount, 0) - invoices.invoiced_amount as decimal(38, 12)) as invoice_difference,

    ---------- result
    cast(coalesce(days.days_compared, 0) as bigint) as days_compared,
    case
        when billed_months.provider is null then 'missing'
        when days.days_compared = {{ days_between('keys.month_start', add_months('keys.month_start', 1)) }} then 'complete'
        else 'partial'
    end as verdict
from keys
left join months_of_cases
    on keys.provider = months_of_cases.provider and keys.month_start = months_of_cases.month_start and keys.currency = months_of_cases.currency
left join months_of_lines
    on keys.provider = months_of_lines.provider and keys.month_start = months_of_lines.month_start and keys.currency = months_of_lines.currency
left join invoices on keys.provider = invoices.provider and keys.month_start = invoices.month_start and keys.currency = invoices.currency
left join days on keys.provider = days.provider and keys.month_start = days.month_start
left join billed_months on keys.provider = billed_months.provider and keys.month_start = billed_months.month_start
