{#- The compared measures of each mart, by check. -#}
{%- set usage = [
    'charges', 'prompt_tokens', 'completion_tokens', 'total_tokens', 'revenue', 'refunds', 'provider_cost', 'platform_fees', 'charges_without_cost',
] -%}
{%- set comparisons = [
    ('daily_revenue_equals_entries', 'fct_daily_revenue', usage),
    ('user_days_equal_entries', 'fct_user_days', usage + ['deposits', 'promo_deposits']),
    ('user_months_equal_entries', 'fct_user_months', [
        'charges', 'revenue', 'refunds', 'provider_cost', 'platform_fees', 'charges_without_cost', 'deposits', 'balance_effect',
    ]),
    ('wallets_equal_entries', 'fct_wallet_days', ['balance_effect']),
    ('all_time_kpis_equal_entries', 'fct_period_kpis', [
        'charges', 'total_tokens', 'revenue', 'refunds', 'provider_cost', 'platform_fees', 'deposits', 'promo_deposits',
    ]),
] -%}
{%- set measures = usage + ['deposits', 'promo_deposits', 'balance_effect'] -%}
with

entries as (select * from {{ ref('fct_ledger_entries') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

fct_daily_revenue as (select * from {{ ref('fct_daily_revenue') }}),

fct_user_days as (select * from {{ ref('fct_user_days') }}),

fct_user_months as (select * from {{ ref('fct_user_months') }}),

fct_wallet_days as (

    select
        currency,
        closing_balance as balance_effect
    from {{ ref('fct_wallet_days') }}
    where valid_to is null

),

fct_period_kpis as (select * from {{ ref('fct_period_kpis') }} where period = 'all_time'),

compared_measures as (

    {% for name, mart, compared in comparisons %}
    {% set last_comparison = loop.last %}
    {% for measure in compared %}
    select
        '{{ name }}' as name,
        '{{ mart }}' as mart,
        '{{ measure }}' as measure,
        {{ loop.index }} as position
    {% if not (last_comparison and loop.last) %}union all{% endif %}
    {% endfor %}
    {% endfor %}

),

-- One pass over the entries. The sums follow docs/contract.md#41-per-entry and docs/contract.md#42-metrics
-- and do not use the macros of the marts, so that the check is independent of them.
entry_totals as (

    select
        entries.currency,
        entries.entry_date <= settings.today as is_through_today,
        count(*) filter (where entries.entry_type = 'charge' and entries.status = 'settled') as charges,
        sum(entries.prompt_tokens) filter (where entries.entry_type = 'charge' and entries.status = 'settled') as prompt_tokens,
        sum(entries.completion_tokens) filter (where entries.entry_type = 'charge' and entries.status = 'settled') as completion_tokens,
        sum(entries.total_tokens) filter (where entries.entry_type = 'charge' and entries.status = 'settled') as total_tokens,
        sum(entries.amount) filter (where entries.entry_type = 'charge' and entries.status = 'settled') as revenue,
        sum(entries.amount) filter (
            where entries.entry_type = 'refund' and entries.status = 'settled' and entries.related_entry_type is distinct from 'deposit'
        ) as refunds,
        sum(entries.provider_cost) filter (
            where
            entries.entry_type = 'charge' and entries.status in ('settled', 'failed', 'reversed')
            and entries.provider_cost_currency = entries.currency
        ) as provider_cost,
        sum(entries.platform_fees) filter (where entries.entry_type = 'charge' and entries.status = 'settled') as platform_fees,
        count(*) filter (
            where
            entries.entry_type = 'charge' and entries.status in ('settled', 'failed', 'reversed')
            and (entries.provider_cost is null or entries.provider_cost_currency <> entries.currency)
        ) as charges_without_cost,
        sum(entries.amount) filter (
            where entries.entry_type = 'deposit' and entries.status = 'settled' and entries.funding = 'paid'
        ) as deposits,
        sum(entries.amount) filter (
            where entries.entry_type = 'deposit' and entries.status = 'settled' and entries.funding = 'promo'
        ) as promo_deposits,
        sum(entries.balance_effect) as balance_effect
    from entries
    cross join settings
    group by entries.currency, entries.entry_date <= settings.today

),

-- KPIs end today. The other marts also include later entries.
expected as (

    select
        compared_measures.name,
        compared_measures.measure,
        entry_totals.currency,
        sum(case compared_measures.measure{{ named_values(measures, 'entry_totals') }} end) filter (
            where entry_totals.is_through_today or compared_measures.name <> 'all_time_kpis_equal_entries'
        ) as amount
    from entry_totals
    cross join compared_measures
    group by compared_measures.name, compared_measures.measure, entry_totals.currency

),

mart_totals as (

    {% for name, mart, compared in comparisons %}
    select
        {% for measure in measures %}
        {{ money('sum(' ~ measure ~ ')' if measure in compared else '0') }} as {{ measure }},
        {% endfor %}
        currency,
        '{{ name }}' as name
    from {{ mart }}
    group by currency
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

actual as (

    select
        compared_measures.name,
        compared_measures.measure,
        mart_totals.currency,
        case compared_measures.measure{{ named_values(measures, 'mart_totals') }} end as amount
    from mart_totals
    inner join compared_measures on mart_totals.name = compared_measures.name

),

-- If one side has no rows of a currency, its values count as zero.
compared as (

    select
        coalesce(expected.name, actual.name) as name,
        coalesce(expected.measure, actual.measure) as measure,
        coalesce(expected.currency, actual.currency) as currency,
        expected.amount as expected,
        actual.amount as actual
    from expected
    full join actual
        on
            expected.name = actual.name
            and expected.measure = actual.measure
            and expected.currency = actual.currency

)

select
    compared.name,
    compared.currency || ' ' || compared.measure as scope,
    {{ money('compared.expected') }} as expected,
    {{ money('compared.actual') }} as actual,
    'error' as severity,
    {{ text_literal('select * from marts.') }} || compared_measures.mart
    || {{ text_literal(" where currency = '") }} || compared.currency
    || {{ text_literal("'; select * from marts.fct_ledger_entries where currency = '") }} || compared.currency
    || {{ text_literal("'") }} as query,
    cast(row_number() over (partition by compared.name order by compared.currency, compared_measures.position) as bigint) as ordinal
from compared
inner join compared_measures on compared.name = compared_measures.name and compared.measure = compared_measures.measure
