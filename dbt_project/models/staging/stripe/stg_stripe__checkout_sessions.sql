{#- Sessions of both modes are used. They only link ids, and the two modes have no ids in common. -#}
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
