{#- Sessions of both modes: they only tie ids together, and no id of one mode stands in the other. -#}
select
    ---------- landing order
    batch_seq,
    file_no,
    line,

    ---------- ids
    checkout_session_id,
    payment_intent_id,
    user_id,

    ---------- time
    created_at
from {{ source('stripe', 'checkout_sessions') }}
