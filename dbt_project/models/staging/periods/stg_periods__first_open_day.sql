with

acts as (select * from {{ source('periods', 'period_acts') }}),

last_closed as (select max(month_start) as month_start from acts where is_in_force)

select {{ add_months('month_start', 1) }} as first_open_day
from last_closed
