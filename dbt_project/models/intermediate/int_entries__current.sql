{#- The versions are imported once for every use: an engine that is asked twice for the same rows may keep them all in memory. -#}
with

touched as (select * from {{ ref('int_touched__entries') }}),

{% for import in ['identified', 'lone_versions', 'repeated_versions', 'ledger_ids'] %}
{{ import }} as (
    select versions.*
    from {{ ref('stg_ledger__entry_versions') }} as versions
    {%- if not is_rebuild() %}
    semi join touched on versions.entry_id = touched.entry_id
    {%- endif %}
),
{% endfor %}
webhook_entries as (select * from {{ ref('int_webhooks__entries') }}),

repeated as (

    select
        entry_id,
        cast(count(*) as bigint) as versions
    from identified
    group by entry_id
    having count(*) > 1

),

from_ledger as (

    select
        {{ entry_columns() | join(',\n        ') }},
        cast(1 as bigint) as versions
    from lone_versions
    anti join repeated using (entry_id)

    union all

    select
        {{ entry_columns() | join(',\n        ') }},
        versions
    from repeated_versions
    inner join repeated using (entry_id)
    qualify row_number() over (partition by entry_id order by updated_at desc, batch_seq desc, file_no desc, line desc) = 1

),

from_webhooks as (

    select webhook_entries.*
    from webhook_entries
    anti join ledger_ids on webhook_entries.entry_id = ledger_ids.entry_id
    where webhook_entries.makes_entry

)

select
    {%- for column in entry_columns() %}
    from_ledger.{{ column }},
    {%- endfor %}
    from_ledger.versions + coalesce(webhook_entries.versions, 0) as versions,
    'ledger' as source
from from_ledger
left join webhook_entries on from_ledger.entry_id = webhook_entries.entry_id

union all

select
    {%- for column in entry_columns() %}
    {{ column }},
    {%- endfor %}
    versions,
    'webhook' as source
from from_webhooks
