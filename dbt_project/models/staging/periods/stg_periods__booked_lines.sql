select
    ---------- grain
    act_no,
    line_no,

    ---------- what is booked
    journal_date,
    relates_to_date,
    journal,
    account,
    currency,

    ---------- money
    debit,
    credit
from {{ source('periods', 'booked_lines') }}
