with

entries as (select * from {{ ref('fct_ledger_entries') }}),

events as (select * from {{ ref('stg_paywalls__events') }} where paywall_id is not null),

sightings as (

    select
        paywall_id,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at
    from entries
    group by paywall_id

    union all

    select
        paywall_id,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at
    from events
    group by paywall_id

)

select
    paywall_id,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at
from sightings
group by paywall_id
