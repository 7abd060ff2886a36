with

sessions as (select * from {{ ref('stg_stripe__checkout_sessions') }}),

links as (

    select *
    from {{ ref('stg_paywalls__events') }}
    where event_type = 'stripe.checkout.session.completed' and checkout_session_id is not null

),

identity as (select * from {{ ref('int_users__identity') }}),

-- Stripe's own list is ordered after the webhooks, so that it wins if both state a value.
statements as (

    select
        checkout_session_id,
        payment_intent_id,
        user_id,
        2 as rank,
        batch_seq,
        file_no,
        line
    from sessions

    union all

    select
        links.checkout_session_id,
        links.payment_intent_id,
        coalesce(links.external_user_id, identity.user_id, links.wallet_user_id) as user_id,
        1 as rank,
        links.batch_seq,
        links.file_no,
        links.line
    from links
    left join identity on links.wallet_user_id = identity.wallet_user_id

),

ordered as (

    select
        *,
        row_number() over (partition by checkout_session_id order by rank, batch_seq, file_no, line) as position
    from statements

)

select
    checkout_session_id,
    max_by(payment_intent_id, position) filter (where payment_intent_id is not null) as payment_intent_id,
    -- The wallet that was credited identifies the user more reliably than the reference of the checkout.
    coalesce(
        max_by(user_id, position) filter (where user_id is not null and rank = 1),
        max_by(user_id, position) filter (where user_id is not null)
    ) as user_id,
    cast(count(*) as bigint) as statements
from ordered
group by checkout_session_id
