with

accounts as (select * from {{ ref('int_stripe__accounts') }}),

-- Sessions of both modes are used to link ids.
files as (select * from {{ source('run', 'loaded_files') }} where status = 'loaded' and source = 'stripe/checkout_sessions')

-- A list that does not state its span was complete when it was landed.
select
    accounts.account_id,
    max(case when files.covered_until is null then files.loaded_at else least(files.covered_until, files.loaded_at) end) as looked_at
from files
inner join accounts on files.account_id = accounts.stated_account_id
group by accounts.account_id
