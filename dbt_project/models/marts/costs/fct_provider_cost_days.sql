{{
    config(
        tags=['bills'],
        materialized='incremental',
        incremental_strategy='replace_touched',
        meta={'day': 'date_day'},
        partition_by=day_partition('date_day'),
        touched_rows='touched_days',
        touched_match='present.date_day = touched.entry_date',
    )
}}

with

entries as (select * from {{ ref('fct_ledger_entries') }}),

-- Without bills the table stays empty. The first build with a bill fills it.
bills as (select count(*) as bill_lines from {{ ref('stg_bills__lines') }}),

{% if is_incremental() %}
touched as (

    {{ touched_days() }}

),

known as (select count(*) as days from {{ this }}),

{% else %}
-- depends_on: {{ source('build', 'touched_keys') }}
{% endif %}
charges as (

    select
        entries.*,
        {{ utc_day('entries.occurred_at') }} as usage_date
    from entries
    cross join bills
    {% if is_incremental() %}
    cross join known
    left join touched on entries.entry_date = touched.entry_date
    {% endif %}
    where
        entries.entry_type = 'charge'
        and entries.status in ('settled', 'failed', 'reversed')
        {% if is_incremental() -%}
        and case when known.days > 0 then touched.entry_date is not null else bills.bill_lines > 0 end
        {%- else -%}
        and bills.bill_lines > 0
        {%- endif %}

)

select
    ---------- grain
    entry_date as date_day,
    usage_date,
    billed_by,
    model_id,
    provider_cost_currency as currency,

    ---------- charges whose cost counts
    count(*) as charges,
    count(*) filter (where provider_cost is null) as charges_without_cost,
    cast(sum(total_tokens) as bigint) as total_tokens,

    ---------- money
    cast(sum(provider_cost) as decimal(38, 12)) as provider_cost,
    cast(sum(provider_cost) filter (where provider_cost_basis = 'estimated') as decimal(38, 12)) as provider_cost_estimated,

    bool_or(provider_cost_basis <> 'reported') as has_estimate
from charges
group by entry_date, usage_date, billed_by, model_id, provider_cost_currency
