{{ config(tags=['bills']) }}

{#- The steps are those of docs/contract.md#29-provider-bills. Names are never guessed. -#}
with

billed_names as (select * from {{ ref('stg_bills__models') }}),

price_book as (

    select
        model_id,
        min(book_model) as book_model
    from {{ ref('stg_prices__models') }}
    group by model_id

),

charged_models as (

    select distinct
        provider,
        model_id
    from {{ ref('int_costs__charges') }}

),

charged_names as (

    select
        charged_models.provider,
        charged_models.model_id,
        price_book.book_model,
        {{ without_gateway('charged_models.provider', 'lower(charged_models.model_id)') }} as name
    from charged_models
    left join price_book on charged_models.model_id = price_book.model_id

),

charged as (

    select
        *,
        -- Without a provider the whole name.
        substr(name, instr(name, '/') + 1) as name_after_provider
    from charged_names

),

billed as (

    select
        *,
        {{ without_gateway('provider', 'lower(trim(model_as_billed))') }} as name
    from billed_names

),

same_name as (

    select
        billed.provider,
        billed.model_as_billed,
        min(charged.model_id) as model_id
    from billed
    inner join charged
        on
            billed.provider = charged.provider
            and case when instr(billed.name, '/') > 0 then billed.name else billed.provider || '/' || billed.name end = charged.name
    group by billed.provider, billed.model_as_billed

),

same_name_after_provider as (

    select
        billed.provider,
        billed.model_as_billed,
        min(charged.model_id) as model_id
    from billed
    inner join charged on billed.provider = charged.provider and billed.name = charged.name_after_provider
    group by billed.provider, billed.model_as_billed
    having count(*) = 1

),

stated as (

    select
        billed.provider,
        billed.model_as_billed,
        coalesce(min(charged.model_id), min(billed.stated_model_id)) as model_id
    from billed
    left join charged on billed.provider = charged.provider and lower(billed.stated_model_id) = lower(charged.model_id)
    where billed.stated_model_id is not null
    group by billed.provider, billed.model_as_billed

),

same_in_price_book as (

    select
        billed.provider,
        billed.model_as_billed,
        min(charged.model_id) as model_id
    from billed
    inner join charged on billed.provider = charged.provider and billed.book_model = charged.book_model
    group by billed.provider, billed.model_as_billed
    having count(*) = 1

)

select
    billed.provider,
    billed.model_as_billed,
    coalesce(same_name.model_id, same_name_after_provider.model_id, stated.model_id, same_in_price_book.model_id, 'unknown') as model_id
from billed
left join same_name on billed.provider = same_name.provider and billed.model_as_billed = same_name.model_as_billed
left join same_name_after_provider
    on
        billed.provider = same_name_after_provider.provider
        and billed.model_as_billed = same_name_after_provider.model_as_billed
left join stated on billed.provider = stated.provider and billed.model_as_billed = stated.model_as_billed
left join same_in_price_book on billed.provider = same_in_price_book.provider and billed.model_as_billed = same_in_price_book.model_as_billed
