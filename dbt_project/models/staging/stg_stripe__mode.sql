with

activity_files as (select * from {{ source('raw', 'loaded_files') }} where status = 'loaded' and report_type like 'balance_change_from_activity.%')

-- Test payments are no money: they count only where there is nothing else, in a warehouse that somebody tries out.
select coalesce(bool_or(livemode), true) as livemode
from activity_files
