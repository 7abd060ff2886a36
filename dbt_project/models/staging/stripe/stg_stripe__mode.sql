with

-- Checkout Sessions are known without any report, and only tie ids together.
files as (

    select *
    from {{ source('run', 'loaded_files') }}
    where status = 'loaded' and report_type is not null and report_type <> 'checkout_sessions'

)

-- Test payments are no money: they count only where there is nothing else, in a warehouse that somebody tries out.
select coalesce(bool_or(livemode) filter (where accepted > 0), bool_or(livemode), true) as livemode
from files
