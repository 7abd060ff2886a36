with

files as (select * from {{ source('run', 'loaded_files') }}),

state as (select * from {{ source('ops', 'build_state') }})

select distinct files.batch_seq
from files
cross join state
where files.batch_seq > state.built_through
