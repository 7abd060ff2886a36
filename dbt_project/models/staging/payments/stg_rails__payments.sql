select
    ---------- landing order
    batch_seq,
    file_no,
    line,

    ---------- ids
    rail,
    payment_id,
    user_id,

    ---------- what
    status,

    ---------- money
    currency,
    amount,
    fee,
    refunded_amount,

    ---------- time
    paid_at
from {{ source('payments', 'rail_payments') }}
