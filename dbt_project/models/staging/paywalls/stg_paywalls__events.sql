with

events as (select * from {{ source('webhooks', 'webhook_events') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

deliveries as (

    select
        ---------- landing order
        events.batch_seq,
        events.file_no,
        events.line,

        ---------- ids
        events.event_id,
        events.activity_id,
        events.paywall_id,
        events.wallet_user_id,
        events.external_user_id,
        events.request_id,
        events.payment_intent_id,
        events.charge_id,
        events.checkout_session_id,
        events.payment_id,

        ---------- what
        events.event_type,
        events.source,
        events.model,
        events.rail,
        events.funding,
        events.reason,
        events.metadata_reason,
        events.error_code,
        events.metadata,

        ---------- the entry that the event states, if any
        case
            when events.event_type in ('balance.deposit.created', 'balance.trial.granted') then 'deposit'
            when events.event_type in ('usage.charge.created', 'balance.charge.created', 'balance.charge.completed', 'balance.charge.failed') then 'charge'
        end as entry_type,
        case
            when events.event_type = 'balance.charge.created' and settings.manual_charge_settles_on = 'completed' then 'pending'
            when events.event_type = 'balance.charge.failed' then 'failed'
            else 'settled'
        end as entry_status,
        case events.event_type when 'balance.charge.failed' then 3 when 'balance.charge.completed' then 2 else 1 end as lifecycle_rank,

        ---------- money
        events.currency,
        events.amount,
        events.requested_amount,
        events.available_balance,

        ---------- tokens
        events.prompt_tokens,
        events.completion_tokens,

        ---------- time
        events.occurred_at
    from events
    cross join settings
    -- Events of any other type are kept in raw and change nothing.
    where
        events.event_type in (
            'balance.deposit.created', 'balance.trial.granted', 'usage.charge.created',
            'balance.charge.created', 'balance.charge.completed', 'balance.charge.failed',
            'authorization.requested', 'authorization.completed', 'authorization.declined', 'authorization.revoked',
            'balance.depleted', 'request.blocked', 'usage.rate.limited', 'proxy.request.failed', 'proxy.request.blocked',
            'stripe.checkout.session.completed'
        )

)

select * from deliveries
