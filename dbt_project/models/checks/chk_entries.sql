{%- set records_query -%}
select entry_id, versions from marts.fct_ledger_entries order by versions desc; select * from raw.loaded_files
{%- endset -%}
{%- set ids_query -%}
select entry_id, count(*) from marts.fct_ledger_entries
where (select full_refresh from ops.build_state) or entry_id in (select entry_id from intermediate.int_touched__entries)
group by entry_id having count(*) > 1
{%- endset -%}
{%- set tokens_query -%}
select entry_id, model_id, prompt_tokens, cached_tokens, provider_cost_basis from marts.fct_ledger_entries
where cached_tokens > coalesce(prompt_tokens, 0) order by entry_id
{%- endset -%}
{%- set repeated_query -%}
select request_id, list(distinct source) as sources, list(entry_id order by entry_id)[1:5] as entry_ids from marts.fct_ledger_entries
where entry_type = 'charge' and source not in ('ledger', 'webhook') and request_id is not null
group by request_id having min(source) <> max(source) order by request_id
{%- endset -%}
with

entries as (select * from {{ ref('fct_ledger_entries') }}),

-- Only written rows can repeat an id. After a rebuild these are all rows, otherwise those of the touched
-- entries.
written_entries as (

    {{ bounded(ref('fct_ledger_entries'), 'entries') }}

),

loaded_files as (select * from {{ source('run', 'loaded_files') }}),

orphans as (select * from {{ ref('int_entries__orphans') }}),

-- `versions` counts the records of an entry. One of them is current, the others are superseded.
entry_totals as (

    select
        sum(versions) as versions,
        count(*) filter (where cached_tokens > coalesce(prompt_tokens, 0)) as more_cached_than_prompt
    from entries

),

accepted as (select sum(entry_records) as records from loaded_files),

orphaned as (select sum(versions) as versions from orphans),

repeated_ids as (

    select entry_id
    from written_entries
    group by entry_id
    having count(*) > 1

),

repeated as (select count(*) as ids from repeated_ids),

-- The same call in the logs of two systems. A source of the operator's own may repeat the id of a request,
-- for example on a fee.
repeated_requests as (

    select count(*) as charges
    from entries
    where entry_type = 'charge' and source not in ('ledger', 'webhook') and request_id is not null
    group by request_id
    having min(source) <> max(source)

),

logged_twice as (select coalesce(sum(charges), 0) as charges from repeated_requests)

select
    {{ check_columns(
        'records_are_accounted_for',
        'accepted.records',
        'coalesce(entry_totals.versions, 0) + coalesce(orphaned.versions, 0)',
        query_literal(records_query),
    ) }}
from entry_totals
cross join accepted
cross join orphaned

union all

select {{ check_columns('entry_ids_are_unique', '0', 'ids', query_literal(ids_query)) }}
from repeated

union all

select
    {{ check_columns(
        'cached_tokens_are_part_of_prompt_tokens', '0', 'more_cached_than_prompt', query_literal(tokens_query), severity='warn',
    ) }}
from entry_totals

union all

select
    {{ check_columns(
        'requests_are_logged_by_one_source', '0', 'charges', query_literal(repeated_query), severity='warn',
    ) }}
from logged_twice
