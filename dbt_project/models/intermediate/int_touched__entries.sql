with

new_batches as (select * from {{ ref('stg_run__new_batches') }}),

entry_versions as (select * from {{ ref('stg_ledger__entry_versions') }}),

related_versions as (select * from {{ ref('stg_ledger__entry_versions') }} where related_entry_id is not null),

deliveries as (select * from {{ ref('stg_paywalls__events') }} where entry_type is not null),

remapped_wallets as (select * from {{ ref('int_users__identity') }} where is_remapped),

new_versions as (

    select entry_versions.entry_id
    from entry_versions
    semi join new_batches on entry_versions.batch_seq = new_batches.batch_seq

),

-- Grouped by event, not by activity: a repeated delivery may name another activity than the first one.
new_events as (

    select deliveries.event_id
    from deliveries
    semi join new_batches on deliveries.batch_seq = new_batches.batch_seq

),

stated as (

    select entry_id from new_versions
    union
    select activity_id from deliveries semi join new_events on deliveries.event_id = new_events.event_id
    union
    select activity_id from deliveries semi join remapped_wallets on deliveries.wallet_user_id = remapped_wallets.wallet_user_id

),

-- A refund takes its kind and its model from its related entry.
about_them as (

    select related_versions.entry_id
    from related_versions
    semi join stated on related_versions.related_entry_id = stated.entry_id

),

-- What an adjustment takes depends on the entry that it is about, and on the deposit that this one is about.
about_those as (

    select related_versions.entry_id
    from related_versions
    semi join about_them on related_versions.related_entry_id = about_them.entry_id

),

touched as (

    select entry_id from stated
    union
    select entry_id from about_them
    union
    select entry_id from about_those

)

select entry_id
from touched
{%- if is_rebuild() %}
where false
{%- endif %}
