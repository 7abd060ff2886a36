{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched',
        meta={'day': 'date_day'},
        partition_by=day_partition('date_day'),
        touched_rows='touched_user_days',
        touched_match='present.date_day = touched.entry_date and present.user_id = touched.user_id',
        fresh_match='present.date_day = fresh.date_day and present.user_id = fresh.user_id',
    )
}}

with

entries as (select * from {{ ref('fct_ledger_entries') }} where user_id is not null),

payer_months as (select * from {{ ref('fct_user_months') }} where first_payer_day is not null),

{% if is_incremental() %}
touched as (

    {{ touched_user_days() }}

),

known_firsts as (

    select distinct
        user_id,
        date_day
    from {{ this }}
    where is_new_payer

),

{% else %}
-- depends_on: {{ source('build', 'touched_keys') }}
{% endif %}
classified as (

    select
        entries.*,
        {{ counted_as() }}
    from entries
    {% if is_incremental() %}
    semi join touched on entries.entry_date = touched.entry_date and entries.user_id = touched.user_id
    {% endif %}

),

summed as (

    select
        entry_date as date_day,
        user_id,
        paywall_id,
        currency,
        {{ usage_sums() }},
        {{ token_sums() }},
        {{ deposit_sums() }}
    from classified
    where is_counted_charge or is_usage_refund or is_settled_deposit
    group by entry_date, user_id, paywall_id, currency

),

first_payments as (

    select
        user_id,
        min(first_payer_day) as date_day
    from payer_months
    group by user_id

){% if is_incremental() %},

-- A user's first payer day may move to or from a day that is not touched itself.
moved as (

    select
        known_firsts.user_id,
        known_firsts.date_day
    from known_firsts
    anti join first_payments on known_firsts.user_id = first_payments.user_id and known_firsts.date_day = first_payments.date_day
    union all
    select
        first_payments.user_id,
        first_payments.date_day
    from first_payments
    anti join known_firsts on first_payments.user_id = known_firsts.user_id and first_payments.date_day = known_firsts.date_day

){% endif %}

select
    ---------- grain
    summed.date_day,
    summed.user_id,
    summed.paywall_id,
    summed.currency,

    ---------- usage
    summed.charges,
    summed.failed_charges,
    summed.counted_charges,
    summed.prompt_tokens,
    summed.completion_tokens,
    summed.total_tokens,

    ---------- money
    summed.revenue,
    summed.refunds,
    {{ money(net_revenue('summed')) }} as net_revenue,
    summed.provider_cost,
    summed.platform_fees,
    {{ money(profit('summed')) }} as profit,
    {{ money(net_profit('summed')) }} as net_profit,
    summed.charges_without_cost,
    summed.deposits,
    summed.promo_deposits,

    summed.revenue > 0 and first_payments.date_day is not null as is_new_payer
from summed
left join first_payments on summed.user_id = first_payments.user_id and summed.date_day = first_payments.date_day

{%- if is_incremental() %}

union all

select
    known.date_day,
    known.user_id,
    known.paywall_id,
    known.currency,
    known.charges,
    known.failed_charges,
    known.counted_charges,
    known.prompt_tokens,
    known.completion_tokens,
    known.total_tokens,
    known.revenue,
    known.refunds,
    known.net_revenue,
    known.provider_cost,
    known.platform_fees,
    known.profit,
    known.net_profit,
    known.charges_without_cost,
    known.deposits,
    known.promo_deposits,
    known.revenue > 0 and first_payments.date_day is not null as is_new_payer
from {{ this }} as known
semi join moved on known.date_day = moved.date_day and known.user_id = moved.user_id
anti join touched on known.date_day = touched.entry_date and known.user_id = touched.user_id
left join first_payments on known.user_id = first_payments.user_id and known.date_day = first_payments.date_day
{%- else %}
{{ by_day('summed.date_day') }}
{%- endif %}
