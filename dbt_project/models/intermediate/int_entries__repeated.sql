with

{% for import in ['counted', 'ranked'] %}
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

)

select
    ranked.entry_id,
    ranked.batch_seq,
    ranked.file_no,
    ranked.line,
    repeated.versions
from ranked
inner join repeated on ranked.entry_id = repeated.entry_id
qualify
    row_number() over (
        partition by ranked.entry_id
        order by ranked.updated_at desc, ranked.batch_seq desc, ranked.file_no desc, ranked.line desc
    ) = 1
