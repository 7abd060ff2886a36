{{ config(tags=['bills']) }}

with

charges as (select * from {{ ref('int_costs__charges') }}),

lines as (select * from {{ ref('fct_bill_lines') }} where is_compared),

covered_days as (select * from {{ ref('int_bills__coverage') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

last_days as (

    select
        provider,
        max(date_day) as last_covered_day
    from covered_days
    group by provider

),

billed as (

    select
        lines.provider,
        lines.usage_date,
        lines.model_id,
        lines.currency,
        sum(lines.billed_amount) as billed_cost,
        sum({{ tokens_of('lines') }}) as billed_tokens,
        count(*) filter (where lines.is_rounded) as rounded_lines,
        bool_and(lines.token_kind = 'other' and lines.model_as_billed is null) as is_without_tokens_and_model
    from lines
    group by lines.provider, lines.usage_date, lines.model_id, lines.currency

),

both_sides as (

    select
        coalesce(charges.provider, billed.provider) as provider,
        coalesce(charges.usage_date, billed.usage_date) as usage_date,
        coalesce(charges.model_id, billed.model_id) as model_id,
        coalesce(charges.currency, billed.currency) as currency,
        charges.provider is not null as has_charges,
        billed.provider is not null as has_lines,
        charges.charges,
        charges.charges_without_cost,
        charges.ledger_cost as known_cost,
        charges.ledger_cost_estimated,
        charges.has_estimate,
        charges.ledger_tokens as known_tokens,
        billed.billed_cost as stated_cost,
        billed.billed_tokens as stated_tokens,
        billed.rounded_lines,
        billed.is_without_tokens_and_model
    from charges
    full outer join billed
        on
            charges.provider = billed.provider
            and charges.usage_date = billed.usage_date
            and charges.model_id = billed.model_id
            and charges.currency = billed.currency

),

-- A side without rows is 0. On a day that no bill covers, the billed side is unknown.
compared as (

    select
        both_sides.*,
        covered_days.date_day is not null as is_covered,
        last_days.last_covered_day,
        settings.as_of,
        settings.cost_grace_days,
        settings.cost_tolerance_abs,
        settings.cost_tolerance_rel,
        {{ later_by_days(utc_midnight(add_days('both_sides.usage_date', 1)), 'settings.cost_grace_days') }} as due_at,
        case when both_sides.has_charges then both_sides.known_cost else cast(0 as decimal(38, 12)) end as ledger_cost,
        cast(case when both_sides.has_charges then both_sides.known_tokens else 0 end as decimal(38, 12)) as ledger_tokens,
        case
            when covered_days.date_day is null then null
            when both_sides.has_lines then both_sides.stated_cost
            else cast(0 as decimal(38, 12))
        end as billed_cost,
        case
            when covered_days.date_day is null then null
            when both_sides.has_lines then both_sides.stated_tokens
            else cast(0 as decimal(38, 12))
        end as billed_tokens,
        bool_or(both_sides.has_charges) over (partition by both_sides.provider, both_sides.usage_date, both_sides.model_id) as has_charges_in_any_currency,
        bool_or(both_sides.has_lines) over (partition by both_sides.provider, both_sides.usage_date, both_sides.model_id) as has_lines_in_any_currency
    from both_sides
    cross join settings
    left join covered_days on both_sides.provider = covered_days.provider and both_sides.usage_date = covered_days.date_day
    left join last_days on both_sides.provider = last_days.provider

),

measured as (

    select
        *,
        billed_cost - ledger_cost as difference,
        case
            when billed_tokens <> 0 and ledger_tokens <> 0 and billed_cost is not null and ledger_cost is not null
                then {{ share_of('billed_cost', '(billed_tokens - ledger_tokens)', 'billed_tokens') }}
        end as volume_difference,
        {{ cost_tolerance('billed_cost', 'coalesce(rounded_lines, 0)') }} as tolerance,
        cast(abs(billed_tokens - ledger_tokens) as decimal(38, 12)) > {{ tolerated_share('billed_tokens') }} as have_other_tokens
    from compared

),

-- The first rule that holds wins. NULL is a match.
decided as (

    select
        *,
        case
            when not is_covered or due_at > as_of then 'pending'
            when has_charges and not has_lines and {{ days_between('usage_date', 'last_covered_day') }} <= cost_grace_days then 'pending'
            when has_charges and ledger_cost is null then 'estimated_off'
            when abs(difference) <= tolerance then null
            when has_charges and not has_lines and has_lines_in_any_currency then 'currency_mismatch'
            when has_lines and not has_charges and has_charges_in_any_currency then 'currency_mismatch'
            when not has_charges then 'billed_not_metered'
            when not has_lines then 'metered_not_billed'
            when have_other_tokens then 'token_mismatch'
            when has_estimate then 'estimated_off'
            else 'rate_mismatch'
        end as verdict
    from measured

)

select
    ---------- ids
    provider || ':' || cast(usage_date as {{ text_type() }}) || ':' || model_id || ':' || currency as case_id,
    provider,
    usage_date,
    model_id,
    currency,

    ---------- the ledger
    cast(coalesce(charges, 0) as bigint) as charges,
    cast(coalesce(charges_without_cost, 0) as bigint) as charges_without_cost,
    cast(ledger_cost as decimal(38, 12)) as ledger_cost,
    {{ money('ledger_cost_estimated') }} as ledger_cost_estimated,
    cast(ledger_tokens as bigint) as ledger_tokens,

    ---------- the bill
    cast(billed_cost as decimal(38, 12)) as billed_cost,
    cast(billed_tokens as decimal(38, 12)) as billed_tokens,

    ---------- the difference
    cast(difference as decimal(38, 12)) as difference,
    cast(volume_difference as decimal(38, 12)) as volume_difference,
    cast(difference - coalesce(volume_difference, 0) as decimal(38, 12)) as rate_difference,

    ---------- result
    case when verdict is null then 'matched' when verdict = 'pending' then 'pending' else 'break' end as status,
    case when verdict <> 'pending' then verdict end as break_type,
    cast(
        case
            when verdict = 'billed_not_metered' and is_without_tokens_and_model then 3
            when verdict in ('billed_not_metered', 'metered_not_billed') then 1
            when verdict in ('currency_mismatch', 'token_mismatch', 'rate_mismatch') then 2
            when verdict = 'estimated_off' then 3
        end as integer
    ) as priority,
    case when verdict <> 'pending' then due_at end as broken_since
from decided
