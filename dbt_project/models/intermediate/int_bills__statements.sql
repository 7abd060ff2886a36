{{ config(tags=['bills']) }}

with

lines as (select * from {{ ref('stg_bills__lines') }}),

statements as (

    select
        bucket,
        batch_seq,
        file_no,
        bucket_no,
        bool_or(is_rounded) as is_rounded,
        bool_or(format = 'focus') as is_focus,
        bool_or(model_as_billed is not null) as has_models,
        -- The grouping shows in the lines: which of model, project and key any of them states.
        max(case when model_as_billed is not null then 1 else 0 end)
        + max(case when project is not null then 1 else 0 end)
        + max(case when key is not null then 1 else 0 end) as groupings
    from lines
    group by bucket, batch_seq, file_no, bucket_no

)

select
    *,
    row_number() over (
        partition by bucket
        -- Cases are by model: of two groupings that state as much, the one by model says more.
        order by is_rounded asc, is_focus asc, groupings desc, has_models desc, batch_seq desc, file_no desc, bucket_no desc
    ) = 1 as is_counted
from statements
