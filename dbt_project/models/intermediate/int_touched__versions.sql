{#-
    Only the narrow columns that locate the older versions are read from the whole lake. After that, only
    those versions and the new batches are read. A rebuild computes everything from the lake itself.
-#}
with

touched as (select * from {{ ref('int_touched__entries') }}),

new_batches as (select * from {{ ref('stg_run__new_batches') }}),

{% for import in ['places', 'known_versions', 'new_versions'] %}
{{ import }} as (select * from {{ ref('stg_ledger__entry_versions') }}),

{% endfor %}
located as (

    select
        places.batch_seq,
        places.file_no,
        places.line
    from places
    anti join new_batches on places.batch_seq = new_batches.batch_seq
    semi join touched on places.entry_id = touched.entry_id

)

select known_versions.*
from known_versions
semi join located
    on known_versions.batch_seq = located.batch_seq and known_versions.file_no = located.file_no and known_versions.line = located.line
{%- if is_rebuild() %}
where false
{%- endif %}

union all

select new_versions.*
from new_versions
semi join new_batches on new_versions.batch_seq = new_batches.batch_seq
{%- if is_rebuild() %}
where false
{%- endif %}
