with

{% for import in ['counted', 'versions'] %}
{{ import }} as (

    {{ versions_to_resolve() }}

),

{% endfor %}
repeated as (

    select
        entry_id,
        cast(count(*) as bigint) as versions
    from counted
    group by entry_id
    having count(*) > 1

),

ranked as (

    select
        versions.entry_id,
        versions.batch_seq,
        versions.file_no,
        versions.line,
        repeated.versions,
        row_number() over (
            partition by versions.entry_id
            order by versions.updated_at desc, versions.batch_seq desc, versions.file_no desc, versions.line desc
        ) as recency
    from versions
    inner join repeated on versions.entry_id = repeated.entry_id

)

select
    entry_id,
    batch_seq,
    file_no,
    line,
    versions
from ranked
where recency = 1
