with

summaries as (select * from {{ source('stripe', 'balance_summaries') }}),

files as (select * from {{ source('run', 'loaded_files') }}),

mode as (select * from {{ ref('stg_stripe__mode') }})

select
    ---------- landing order
    summaries.batch_seq,
    summaries.file_no,
    summaries.line,

    ---------- account and span
    summaries.account_id,
    files.path,
    files.covered_from,
    files.covered_until,

    ---------- what
    summaries.category,

    ---------- money
    summaries.currency,
    summaries.net_amount
from summaries
inner join mode on summaries.livemode = mode.livemode
inner join files on summaries.batch_seq = files.batch_seq and summaries.file_no = files.file_no
