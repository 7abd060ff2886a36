{{ config(materialized='view') }}

with

deliveries as (select * from {{ ref('stg_paywalls__events') }} where entry_type is not null),

entries as (select * from {{ ref('fct_ledger_entries') }})

select
    deliveries.activity_id as entry_id,
    min(deliveries.event_type) as event_type,
    cast(count(*) as bigint) as versions
from deliveries
anti join entries on deliveries.activity_id = entries.entry_id
group by deliveries.activity_id
