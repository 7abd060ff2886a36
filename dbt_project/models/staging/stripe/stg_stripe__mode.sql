with

-- Checkout Sessions are left out. They may be known without any report, and only link ids.
files as (

    select *
    from {{ source('run', 'loaded_files') }}
    where status = 'loaded' and report_type is not null and report_type <> 'checkout_sessions'

)

-- Test payments are not money. They count only if there is nothing else, as in a warehouse that is being
-- tried out.
select coalesce(bool_or(livemode) filter (where accepted > 0), bool_or(livemode), true) as livemode
from files
