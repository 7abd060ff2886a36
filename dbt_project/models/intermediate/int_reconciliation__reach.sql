with

transactions as (select * from {{ ref('int_stripe__transactions') }}),

files as (select * from {{ source('raw', 'loaded_files') }}),

mode as (select * from {{ ref('stg_stripe__mode') }}),

rail_payments as (select * from {{ ref('stg_rails__payments') }}),

stripe_reach as (

    select max(created_at) as data_until
    from transactions

    union all

    -- A span without transactions is covered as well; nothing covers what was still to come when it was landed.
    select max(least(files.covered_until, files.loaded_at)) as data_until
    from files
    inner join mode on files.livemode = mode.livemode
    where files.status = 'loaded' and files.report_type like 'balance_change_from_activity.%' and files.covered_until is not null

),

by_rail as (

    select
        'stripe' as rail,
        max(data_until) as data_until
    from stripe_reach

    union all

    select
        rail,
        max(paid_at) as data_until
    from rail_payments
    group by rail

)

select
    rail,
    data_until
from by_rail
where data_until is not null

union all

-- Money of which nobody says how it came may have come on any rail.
select
    'unknown' as rail,
    max(data_until) as data_until
from by_rail
having max(data_until) is not null
