with

user_months as (select * from {{ ref('fct_user_months') }}),

events as (select * from {{ ref('stg_paywalls__events') }} where coalesce(external_user_id, wallet_user_id) is not null),

authorizations as (select * from {{ ref('stg_paywalls__events') }} where event_type like 'authorization.%'),

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

by_events as (

    select
        coalesce(events.external_user_id, identity.user_id, events.wallet_user_id) as user_id,
        min(events.occurred_at) as first_seen_at,
        max(events.occurred_at) as last_activity_at
    from events
    left join identity on events.wallet_user_id = identity.wallet_user_id
    group by coalesce(events.external_user_id, identity.user_id, events.wallet_user_id)

),

statuses as (

    select
        coalesce(authorizations.external_user_id, identity.user_id, authorizations.wallet_user_id) as user_id,
        case authorizations.event_type
            when 'authorization.completed' then 'connected'
            when 'authorization.requested' then 'requested'
            when 'authorization.declined' then 'declined'
            when 'authorization.revoked' then 'revoked'
            else 'unknown'
        end as status,
        row_number() over (
            partition by coalesce(authorizations.external_user_id, identity.user_id, authorizations.wallet_user_id)
            order by
                authorizations.occurred_at desc, authorizations.event_id desc,
                authorizations.batch_seq desc, authorizations.file_no desc, authorizations.line desc
        ) as recency
    from authorizations
    left join identity on authorizations.wallet_user_id = identity.wallet_user_id

),

seen as (

    select
        coalesce(by_entries.user_id, by_events.user_id) as user_id,
        least(by_entries.first_seen_at, by_events.first_seen_at) as first_seen_at,
        greatest(by_entries.last_activity_at, by_events.last_activity_at) as last_activity_at,
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
    cast(date_trunc('month', seen.first_payer_day) as date) as cohort_month
from seen
left join statuses on seen.user_id = statuses.user_id and statuses.recency = 1
