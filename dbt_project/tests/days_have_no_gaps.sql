select
    min(date_day) as first_day,
    max(date_day) as last_day,
    count(*) as days
from {{ ref('dim_dates') }}
having count(*) <> {{ days_between('min(date_day)', 'max(date_day)') }} + 1
