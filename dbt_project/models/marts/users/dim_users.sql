with

user_months as (select * from {{ ref('fct_user_months') }}),

events as (select * from {{ ref('stg_paywalls__events') }} where coalesce(external_user_id, wallet_user_id) is not null),

identity as (select * from {{ ref('int_users__identity') }}),

by_entries as (

    select
        user_id,
        min(first_entry_at) as first_seen_at,
        max(last_entry_at) as last_activity_at,
        min(first_deposit_at) as first_deposit_at,
        min(first_charge_at) as first_charge_at,
        min(first_payer_day) as first_payer_day
    from user_months
    group by user_id

),

user_events as (

    select
        coalesce(events.external_user_id, identity.user_id, events.wallet_user_id) as user_id,
        events.event_type,
        events.occurred_at,
        events.event_id,
        events.batch_seq,
        events.file_no,
        events.line
    from events
    left join identity on events.wallet_user_id = identity.wallet_user_id

),

by_events as (

    select
        user_id,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_activity_at
    from user_events
    group by user_id

),

-- Two events of a user rarely share the latest instant. Only those that do are ordered.
latest_events as (

    select
        user_events.user_id,
        user_events.event_type,
        row_number() over (
            partition by user_events.user_id
            order by user_events.event_id desc, user_events.batch_seq desc, user_events.file_no desc, user_events.line desc
        ) as recency
    from user_events
    inner join by_events on user_events.user_id = by_events.user_id and user_events.occurred_at = by_events.last_activity_at

),

statuses as (

    select
        user_id,
        case event_type
            when 'authorization.completed' then 'connected'
            when 'authorization.requested' then 'requested'
            when 'authorization.declined' then 'declined'
            when 'authorization.revoked' then 'revoked'
            else 'unknown'
        end as status,
        event_type as status_event,
        occurred_at as status_at,
        row_number() over (
            partition by user_id
            order by occurred_at desc, event_id desc, batch_seq desc, file_no desc, line desc
        ) as recency
    from user_events
    where event_type like 'authorization.%'

),

seen as (

    select
        coalesce(by_entries.user_id, by_events.user_id) as user_id,
        least(by_entries.first_seen_at, by_events.first_seen_at) as first_seen_at,
        greatest(by_entries.last_activity_at, by_events.last_activity_at) as last_activity_at,
        by_events.last_activity_at as last_event_at,
        by_entries.first_deposit_at,
        by_entries.first_charge_at,
        by_entries.first_payer_day
    from by_entries
    full outer join by_events on by_entries.user_id = by_events.user_id

)

select
    seen.user_id,
    coalesce(statuses.status, 'unknown') as status,
    seen.first_seen_at,
    seen.last_activity_at,
    seen.first_deposit_at,
    seen.first_charge_at,
    cast(date_trunc('month', seen.first_payer_day) as date) as cohort_month,
    statuses.status_event,
    statuses.status_at,
    latest_events.event_type as last_event_type,
    seen.last_event_at
from seen
left join statuses on seen.user_id = statuses.user_id and statuses.recency = 1
left join latest_events on seen.user_id = latest_events.user_id and latest_events.recency = 1
