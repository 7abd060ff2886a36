{{ config(tags=['bills']) }}

with

invoices as (select * from {{ source('bills', 'invoices') }}),

providers as (select * from {{ ref('stg_bills__providers') }})

select
    ---------- landing order
    invoices.batch_seq,
    invoices.file_no,
    invoices.line,

    ---------- ids
    coalesce(providers.provider, invoices.provider_as_billed) as provider,
    invoices.account,
    invoices.invoice_id,
    invoices.invoice_detail_id,

    ---------- what
    invoices.status,
    invoices.period_start,
    invoices.period_end,

    ---------- money
    invoices.currency,
    invoices.amount
from invoices
left join providers on invoices.provider_as_billed = providers.name
