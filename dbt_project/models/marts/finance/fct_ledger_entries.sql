{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched',
        meta={'day': 'entry_date'},
        partition_by=day_partition('entry_date'),
        touched_rows='touched_entries',
        touched_match='present.entry_id = touched.entry_id',
        pre_hook='{{ remember_touched_keys() }}',
        post_hook='{{ remember_touched_keys() }}',
    )
}}

{#- The joins to the markups, the most exact first: a name, and the expressions for source and model. -#}
{%- set markups_by_exactness = [
    ('markup_of_both', 'resolved.source', 'lower(resolved.model_id)'),
    ('markup_of_source', 'resolved.source', "'*'"),
    ('markup_of_model', "'*'", 'lower(resolved.model_id)'),
    ('markup_of_any', "'*'", "'*'"),
] -%}
{%- set names = markups_by_exactness | map('first') | list -%}
{%- set multiplier = 'coalesce(' ~ names | join('.multiplier, ') ~ '.multiplier, cast(1 as decimal(38, 12)))' -%}
{%- set per_request = 'coalesce(' ~ names | join('.per_request, ') ~ '.per_request, cast(0 as decimal(38, 12)))' -%}
with

entries as (select * from {{ ref('int_entries__current') }}),

touched as (select * from {{ ref('int_touched__entries') }}),

models as (select * from {{ ref('stg_prices__models') }}),

rates as (select * from {{ ref('stg_prices__rates') }}),

markups as (select * from {{ ref('stg_prices__markups') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

-- The next two CTEs read the same rows twice. Keeping the rows would take more memory.
related_ids as (select distinct related_entry_id as entry_id from {{ ref('int_entries__current') }} where related_entry_id is not null),

related_entries as (select * from {{ ref('int_entries__current') }}),

related as (

    select
        related_entries.entry_id,
        related_entries.entry_type,
        related_entries.entry_type = 'charge' and related_entries.billing = 'postpaid' as is_postpaid_charge,
        case when related_entries.entry_type = 'charge' then coalesce(models.model_id, related_entries.model, 'unknown') end as charge_model_id
    from related_entries
    semi join related_ids on related_entries.entry_id = related_ids.entry_id
    left join models on related_entries.model = models.model

    {%- if is_incremental() %}

    union all

    select
        untouched.entry_id,
        untouched.entry_type,
        untouched.entry_type = 'charge' and untouched.billing = 'postpaid' as is_postpaid_charge,
        case when untouched.entry_type = 'charge' then untouched.model_id end as charge_model_id
    from {{ this }} as untouched
    semi join related_ids on untouched.entry_id = related_ids.entry_id
    anti join touched on untouched.entry_id = touched.entry_id
    {%- endif %}

),

resolved as (

    select
        entries.*,
        {{ reporting_day('entries.occurred_at', 'settings.reporting_timezone') }} as entry_date,
        related.entry_type as related_entry_type,
        case
            when entries.entry_type = 'charge' then entries.billing
            when entries.entry_type = 'refund' and related.is_postpaid_charge then 'postpaid'
            else 'prepaid'
        end as effective_billing,
        case entries.entry_type
            when 'charge' then coalesce(models.model_id, entries.model, 'unknown')
            when 'refund' then coalesce(models.model_id, entries.model, related.charge_model_id)
            else coalesce(models.model_id, entries.model)
        end as model_id,
        case
            when
                entries.entry_type = 'charge' and entries.provider_cost is null
                -- An entry that states neither its amount nor its cost says nothing about money.
                and entries.amount is not null
                and (entries.prompt_tokens is not null or entries.completion_tokens is not null)
                -- Cached tokens are part of the prompt tokens. An entry with more of them contradicts itself,
                -- so its cost is unknown.
                and coalesce(entries.cached_tokens, 0) <= coalesce(entries.prompt_tokens, 0)
                then models.model_id
        end as estimate_with,
        case when coalesce(entries.provider_cost_currency, entries.currency) = entries.currency then entries.provider_cost end as priced_cost,
        coalesce(entries.prompt_tokens, 0) as known_prompt_tokens,
        coalesce(entries.cached_tokens, 0) as known_cached_tokens,
        coalesce(entries.completion_tokens, 0) as known_completion_tokens,
        coalesce(entries.payment_intent_id, entries.charge_id, entries.checkout_session_id) is not null as has_stripe_key,
        array_contains(settings.promo_reasons, entries.reason) as has_promo_reason
    from entries
    cross join settings
    left join models on entries.model = models.model
    left join related on entries.related_entry_id = related.entry_id

),

-- Costs are rounded once, after all parts are added.
priced as (

    select
        resolved.*,
        case
            when rates.model_id is not null
                then cast(
                    {{ cost_of_tokens('resolved.known_prompt_tokens - resolved.known_cached_tokens', 'rates.prompt_rate') }}
                    + {{ cost_of_tokens('resolved.known_cached_tokens', 'coalesce(rates.cached_prompt_rate, rates.prompt_rate)') }}
                    + {{ cost_of_tokens('resolved.known_completion_tokens', 'rates.completion_rate') }}
                    + coalesce(rates.request_fee, cast(0 as decimal(18, 12)))
                    as decimal(38, 12)
                )
        end as estimated_cost,
        -- A charge whose source states only its cost. Without a cost in its currency, its amount is 0.
        coalesce(
            resolved.amount,
            {{ priced_amount('resolved.priced_cost', multiplier, per_request) }},
            cast(0 as decimal(38, 12))
        ) as entry_amount
    from resolved
    left join rates
        on
            resolved.estimate_with = rates.model_id
            and resolved.currency = rates.currency
            and (rates.effective_from is null or resolved.entry_date >= rates.effective_from)
            and (rates.effective_to is null or resolved.entry_date < rates.effective_to)
            and resolved.known_prompt_tokens >= coalesce(rates.min_prompt_tokens, 0)
            and (rates.max_prompt_tokens is null or resolved.known_prompt_tokens < rates.max_prompt_tokens)
    {%- for markup, source_key, model_key in markups_by_exactness %}
    left join markups as {{ markup }}
        on
            case when resolved.amount is null then {{ source_key }} end = {{ markup }}.source
            and case when resolved.amount is null then {{ model_key }} end = {{ markup }}.model_id
            and ({{ markup }}.effective_from is null or resolved.entry_date >= {{ markup }}.effective_from)
            and ({{ markup }}.effective_to is null or resolved.entry_date < {{ markup }}.effective_to)
    {%- endfor %}

),

meant as (

    select
        *,
        status = 'settled' and entry_type = 'refund' and coalesce(related_entry_type, 'unknown') = 'deposit' as is_deposit_refund,
        status = 'settled' and entry_type = 'refund' and coalesce(related_entry_type, 'unknown') <> 'deposit' as is_usage_refund,
        status = 'settled' and entry_type = 'charge' as is_settled_charge
    from priced

)

select
    ---------- ids
    entry_id,
    user_id,
    paywall_id,
    request_id,
    related_entry_id,
    related_entry_type,
    payment_intent_id,
    charge_id,
    checkout_session_id,
    payment_id,

    ---------- what
    entry_type,
    status,
    effective_billing as billing,
    model_id,
    case
        when entry_type <> 'deposit' then null
        when lower(funding) = 'promo' then 'promo'
        when not has_stripe_key and payment_id is null and has_promo_reason then 'promo'
        else 'paid'
    end as funding,
    lower(funding) as stated_funding,
    reason,
    case
        when rail is not null then lower(rail)
        when entry_type <> 'deposit' then null
        when has_stripe_key then 'stripe'
        else 'unknown'
    end as rail,
    case
        when entry_type = 'charge'
            then coalesce(
                -- Few metadata have the key, and parsing them takes long.
                case when contains(metadata, 'billed_by') then nullif(lower(trim({{ json_text('metadata', 'billed_by') }})), '') end,
                -- A sixth of the time of `split_part` and `trim`.
                nullif(lower(left(model_id, nullif(instr(model_id, '/'), 0) - 1)), ''),
                'unknown'
            )
    end as billed_by,
    metadata,

    ---------- money
    currency,
    entry_amount as amount,
    cast(
        case
            when status <> 'settled' or user_id is null or effective_billing = 'postpaid' then 0
            when is_usage_refund or entry_type in ('deposit', 'adjustment') then entry_amount
            else -entry_amount
        end as decimal(38, 12)
    ) as balance_effect,
    cast(case when is_settled_charge then entry_amount else 0 end as decimal(38, 12)) as revenue,
    cast(case when is_usage_refund then entry_amount else 0 end as decimal(38, 12)) as refunds,
    coalesce(provider_cost, estimated_cost) as provider_cost,
    case
        when provider_cost is null and estimated_cost is not null then currency
        when provider_cost is not null or entry_type = 'charge' then coalesce(provider_cost_currency, currency)
    end as provider_cost_currency,
    case
        when provider_cost is not null then 'reported'
        when estimated_cost is not null then 'estimated'
        when entry_type = 'charge' then 'unknown'
    end as provider_cost_basis,
    platform_fees,

    ---------- tokens
    prompt_tokens,
    completion_tokens,
    total_tokens,
    cached_tokens,
    reasoning_tokens,

    ---------- time
    occurred_at,
    entry_date,
    updated_at,

    ---------- where from
    source,
    versions
from meant
