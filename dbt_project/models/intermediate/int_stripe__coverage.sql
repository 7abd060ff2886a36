with

mode as (select * from {{ ref('stg_stripe__mode') }}),

-- Nothing covers what was still to come when it was landed.
spans as (

    select
        files.account_id,
        files.source,
        files.covered_from,
        least(files.covered_until, files.loaded_at) as covered_until
    from {{ source('raw', 'loaded_files') }} as files
    inner join mode on files.livemode = mode.livemode
    where files.status = 'loaded' and files.covered_until is not null

),

-- A span that begins after all before it have ended begins a new piece.
reached as (

    select
        *,
        max(covered_until) over (
            partition by account_id, source
            order by covered_from, covered_until
            rows between unbounded preceding and 1 preceding
        ) as reached_before
    from spans

),

numbered as (

    select
        *,
        sum(case when reached_before is null or covered_from > reached_before then 1 else 0 end) over (
            partition by account_id, source
            order by covered_from, covered_until
            rows between unbounded preceding and current row
        ) as piece
    from reached

)

select
    account_id,
    source,
    cast(piece as bigint) as piece,
    min(covered_from) as covered_from,
    max(covered_until) as covered_until
from numbered
group by account_id, source, piece
