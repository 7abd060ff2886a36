{{ config(tags=['bills']) }}

{#- Empty without bills, so that a ledger without them has no cases. -#}
with

bills as (select distinct 1 as present from {{ ref('stg_bills__lines') }}),

cost_days as (select * from {{ ref('fct_provider_cost_days') }}),

providers as (select * from {{ ref('stg_bills__providers') }})

select
    coalesce(providers.provider, cost_days.billed_by) as provider,
    cost_days.usage_date,
    cost_days.model_id,
    cost_days.currency,
    sum(cost_days.charges) as charges,
    sum(cost_days.charges_without_cost) as charges_without_cost,
    sum(cost_days.provider_cost) as ledger_cost,
    sum(cost_days.provider_cost_estimated) as ledger_cost_estimated,
    bool_or(cost_days.has_estimate) as has_estimate,
    sum(cost_days.total_tokens) as ledger_tokens
from cost_days
cross join bills
left join providers on cost_days.billed_by = providers.name
group by coalesce(providers.provider, cost_days.billed_by), cost_days.usage_date, cost_days.model_id, cost_days.currency
