{{ config(tags=['bills']) }}

{#- Empty without bills, so that a ledger without them costs nothing here. -#}
with

bills as (select distinct 1 as present from {{ ref('stg_bills__lines') }}),

charges as (

    select * from {{ ref('fct_ledger_entries') }}
    where entry_type = 'charge' and status in ('settled', 'failed', 'reversed')

),

providers as (select * from {{ ref('stg_bills__providers') }}),

summed as (

    select
        charges.billed_by,
        {{ utc_day('charges.occurred_at') }} as usage_date,
        charges.model_id,
        charges.provider_cost_currency as currency,
        count(*) as charges,
        count(*) filter (where charges.provider_cost is null) as charges_without_cost,
        sum(charges.provider_cost) as ledger_cost,
        sum(charges.provider_cost) filter (where charges.provider_cost_basis = 'estimated') as ledger_cost_estimated,
        bool_or(charges.provider_cost_basis <> 'reported') as has_estimate,
        sum(charges.total_tokens) as ledger_tokens
    from charges
    cross join bills
    group by charges.billed_by, {{ utc_day('charges.occurred_at') }}, charges.model_id, charges.provider_cost_currency

)

select
    coalesce(providers.provider, summed.billed_by) as provider,
    summed.usage_date,
    summed.model_id,
    summed.currency,
    sum(summed.charges) as charges,
    sum(summed.charges_without_cost) as charges_without_cost,
    sum(summed.ledger_cost) as ledger_cost,
    sum(summed.ledger_cost_estimated) as ledger_cost_estimated,
    bool_or(summed.has_estimate) as has_estimate,
    sum(summed.ledger_tokens) as ledger_tokens
from summed
left join providers on summed.billed_by = providers.name
group by coalesce(providers.provider, summed.billed_by), summed.usage_date, summed.model_id, summed.currency
