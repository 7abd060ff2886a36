with

transactions as (select * from {{ ref('int_stripe__transactions') }}),

coverage as (select * from {{ ref('int_stripe__coverage') }} where source = 'stripe/balance_change_from_activity.itemized'),

files as (select * from {{ source('raw', 'loaded_files') }}),

mode as (select * from {{ ref('stg_stripe__mode') }}),

rail_payments as (select * from {{ ref('stg_rails__payments') }}),

-- Files that do not say what they cover: then the last row tells.
spanless as (

    select count(*) as files
    from files
    inner join mode on files.livemode = mode.livemode
    where files.status = 'loaded' and files.report_type like 'balance_change_from_activity.%' and files.covered_until is null

),

stripe_reach as (

    select max(transactions.created_at) as data_until
    from transactions
    cross join spanless
    where spanless.files > 0

    union all

    -- A month that is missing hides whatever happened in it: the data reach to the first gap.
    select max(coverage.covered_until) as data_until
    from coverage
    cross join spanless
    where coverage.piece = 1 or spanless.files > 0

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
