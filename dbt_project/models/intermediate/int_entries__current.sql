{{ config(materialized='view') }}

{#-
    This is a view, so that the ledger is written only once, as fct_ledger_entries. Writing it takes as long
    as reading everything that it is made from.
-#}
with

{% for import in ['entry_versions', 'ledger_ids'] %}
{{ import }} as (

    {{ versions_to_resolve() }}

),

{% endfor %}
latest as (select * from {{ ref('int_entries__repeated') }}),

webhook_entries as (select * from {{ ref('int_webhooks__entries') }}),

-- In the other join order all ids of the ledger would be held in memory.
stated_by_both as (

    select distinct ledger_ids.entry_id
    from ledger_ids
    semi join webhook_entries on ledger_ids.entry_id = webhook_entries.entry_id

),

from_webhooks as (

    select webhook_entries.*
    from webhook_entries
    anti join stated_by_both on webhook_entries.entry_id = stated_by_both.entry_id
    where webhook_entries.makes_entry

)

select
    {%- for column in entry_columns() %}
    entry_versions.{{ column }},
    {%- endfor %}
    coalesce(latest.versions, 1) + coalesce(webhook_entries.versions, 0) as versions,
    entry_versions.source
from entry_versions
left join latest on entry_versions.entry_id = latest.entry_id
left join webhook_entries on entry_versions.entry_id = webhook_entries.entry_id
where
    latest.entry_id is null
    or (entry_versions.batch_seq = latest.batch_seq and entry_versions.file_no = latest.file_no and entry_versions.line = latest.line)

union all

select
    {%- for column in entry_columns() %}
    {{ column }},
    {%- endfor %}
    versions,
    'webhook' as source
from from_webhooks
