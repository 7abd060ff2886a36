with

mode as (select * from {{ ref('stg_stripe__mode') }}),

-- A file does not cover time after its landing.
spans as (

    select
        files.account_id,
        files.source,
        files.covered_currency,
        files.covered_from,
        least(files.covered_until, files.loaded_at) as covered_until
    from {{ source('run', 'loaded_files') }} as files
    inner join mode on files.livemode = mode.livemode
    where files.status = 'loaded' and files.covered_until is not null

),

-- A file of one currency covers only that currency. A file of all currencies covers each of them.
currencies as (

    select distinct
        account_id,
        source,
        covered_currency as currency
    from spans

    union

    select distinct
        account_id,
        source,
        cast(null as {{ text_type() }}) as currency
    from spans

),

spans_by_currency as (

    select
        currencies.account_id,
        currencies.source,
        currencies.currency,
        spans.covered_from,
        spans.covered_until
    from currencies
    inner join spans
        on
            currencies.account_id = spans.account_id
            and currencies.source = spans.source
            and (spans.covered_currency is null or currencies.currency = spans.covered_currency)

)

{{ gapless_pieces('spans_by_currency', ['account_id', 'source', 'currency']) }}
