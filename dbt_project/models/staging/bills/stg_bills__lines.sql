{{ config(tags=['bills']) }}

with

lines as (select * from {{ source('bills', 'lines') }}),

files as (select * from {{ source('run', 'loaded_files') }}),

providers as (select * from {{ ref('stg_bills__providers') }}),

named as (

    select
        ---------- landing order
        lines.batch_seq,
        lines.file_no,
        lines.line,
        lines.position,
        lines.bucket_no,

        ---------- what
        lines.format,
        coalesce(providers.provider, lines.provider_as_billed) as provider,
        lines.account,
        lines.charge_category,
        lines.model_as_billed,
        lines.token_kind,
        lines.quantity,
        lines.unit,
        lines.project,
        lines.key,
        lines.invoice_id,

        ---------- money
        lines.billed_amount,
        lines.currency,

        ---------- time
        lines.period_start,
        lines.period_end,
        {{ utc_day('lines.period_start') }} as usage_date,
        lines.billing_period_start,
        lines.period_end > {{ later_by_days('lines.period_start', 1) }} as is_long,

        ---------- how the file states it
        lines.is_correction,
        lines.is_rounded,
        lines.covers_buckets,

        ---------- where from
        files.path,
        files.sha256
    from lines
    inner join files on lines.batch_seq = files.batch_seq and lines.file_no = files.file_no
    left join providers on lines.provider_as_billed = providers.name

)

select
    *,
    -- Of several statements of a bucket, one counts. Corrections and long periods are buckets of their own.
    provider || ' ' || account || ' ' || cast(usage_date as {{ text_type() }})
    || case when is_long then ' until ' || cast({{ utc_day('period_end') }} as {{ text_type() }}) else '' end
    || case when is_correction then ' correction of ' || coalesce(cast(billing_period_start as {{ text_type() }}), '') else '' end as bucket,
    not is_long and not is_correction as covers_days
from named
