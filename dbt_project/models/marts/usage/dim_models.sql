with

entries as (select * from {{ ref('fct_ledger_entries') }}),

errors as (select * from {{ ref('fct_usage_errors') }}),

models as (select * from {{ ref('stg_prices__models') }}),

sightings as (

    select
        model_id,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at
    from entries
    where model_id is not null
    group by model_id

    union all

    select
        model_id,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at
    from errors
    where model_id is not null
    group by model_id

),

seen as (

    select
        model_id,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from sightings
    group by model_id

),

known as (

    select
        model_id,
        min(provider) as provider,
        min(model_name) as model_name,
        bool_or(in_price_book) as in_price_book
    from models
    group by model_id

)

select
    seen.model_id,
    known.provider,
    coalesce(known.model_name, seen.model_id) as model_name,
    seen.first_seen_at,
    seen.last_seen_at,
    coalesce(known.in_price_book, false) as in_price_book
from seen
left join known on seen.model_id = known.model_id
