{#-
    Return the query of `rpt_focus`: what users used and paid, as rows of FOCUS 1.2 (docs/contract.md#65-focus). It is
    for DuckDB: the published file computes the rows from its ledger, also if a cluster built that. `entries`, `dates`
    and `settings` are relations.

    Conditions on days and users reach the scan of the ledger, because both are keys of every step. Charges, which are
    most of the ledger, are therefore summed apart from the entries that may name another one.
-#}
{% macro focus_rows(entries, dates, settings) -%}
with

settings as {{ recomputed() }} (select * from {{ settings }}),

entries as {{ recomputed() }} (select * from {{ entries }} where status = 'settled' and user_id is not null),

named_entries as (select * from {{ entries }}),

days as (

    select
        dates.date_day,
        dates.month_start,
        {{ reporting_midnight('dates.date_day') }} as day_starts_at,
        {{ reporting_midnight(add_days('dates.date_day', 1)) }} as day_ends_at,
        {{ reporting_midnight('dates.month_start') }} as month_starts_at,
        {{ reporting_midnight(add_months('dates.month_start', 1)) }} as month_ends_at
    from {{ dates }} as dates
    cross join settings

),

charges as (

    select
        entry_date,
        user_id,
        paywall_id,
        currency,
        billing,
        model_id,
        total_tokens is not null as is_in_tokens,
        count(*) as entry_count,
        sum(total_tokens) as total_tokens,
        sum(prompt_tokens) as prompt_tokens,
        sum(completion_tokens) as completion_tokens,
        sum(cached_tokens) as cached_tokens,
        sum(amount) as amount,
        sum(balance_effect) as balance_effect
    from entries
    where entry_type = 'charge'
    group by entry_date, user_id, paywall_id, currency, billing, model_id, is_in_tokens

),

-- Money that was paid in or out, as the journal books it against `clearing` (docs/contract.md#5b3-journal).
movements as (

    select
        entries.entry_date,
        entries.user_id,
        entries.paywall_id,
        entries.currency,
        entries.billing,
        case
            when entries.entry_type = 'deposit' then case when entries.funding = 'paid' then 'deposit' else 'promo_deposit' end
            when entries.entry_type = 'withdrawal' then 'withdrawal'
            when entries.entry_type = 'refund' and coalesce(entries.related_entry_type, 'unknown') <> 'deposit' then 'usage_refund'
            when entries.entry_type = 'refund' then case when named.funding = 'paid' then 'deposit_refund' else 'promo_refund' end
            when
                entries.amount > 0 and named.entry_type = 'deposit'
                and {{ funding_of_addition('entries', 'named') }} = 'paid'
                then 'deposit_adjustment'
            when
                entries.amount < 0 and named.entry_type = 'deposit' and named.funding = 'paid'
                and not coalesce(array_contains(settings.expiry_reasons, entries.reason), false)
                then 'deposit_adjustment'
            else 'adjustment'
        end as kind,
        case when entries.entry_type = 'refund' then entries.model_id end as model_id,
        -- An entry that names one of an earlier month corrects that month.
        cast(date_trunc('month', least(entries.entry_date, named.entry_date)) as date) as related_month,
        entries.amount,
        entries.balance_effect
    from entries
    cross join settings
    left join named_entries as named
        on entries.related_entry_id = named.entry_id and entries.entry_type <> 'deposit'
    where entries.entry_type <> 'charge'

),

changes as (

    select
        entry_date,
        user_id,
        paywall_id,
        currency,
        billing,
        kind,
        case when kind = 'usage_refund' then coalesce(model_id, 'unknown') end as model_id,
        related_month,
        count(*) as entry_count,
        sum(amount) as amount,
        sum(balance_effect) as balance_effect
    from movements
    group by all

),

rows_of_kinds as (

    select
        entry_date,
        user_id,
        paywall_id,
        currency,
        billing,
        'usage' as kind,
        'Usage' as category,
        'Usage of ' || model_id as description,
        model_id,
        cast(null as date) as related_month,
        case when is_in_tokens then 'Tokens' else 'Requests' end as unit,
        case when is_in_tokens then total_tokens else entry_count end as quantity,
        entry_count,
        entry_count as request_count,
        prompt_tokens,
        completion_tokens,
        cached_tokens,
        amount as effective_cost,
        case when billing = 'postpaid' then amount else 0 end as billed_cost,
        balance_effect
    from charges

    union all

    select
        entry_date,
        user_id,
        paywall_id,
        currency,
        billing,
        kind,
        case
            when kind = 'usage_refund' then 'Usage'
            when kind in ('deposit', 'deposit_refund', 'deposit_adjustment', 'withdrawal') then 'Purchase'
            else 'Credit'
        end as category,
        case kind
            when 'usage_refund' then 'Refund of usage of ' || model_id
            when 'deposit' then 'Purchase of prepaid credit'
            when 'deposit_refund' then 'Refund of a purchase of prepaid credit'
            when 'deposit_adjustment' then 'Adjustment of a purchase of prepaid credit'
            when 'withdrawal' then 'Withdrawal of prepaid credit'
            when 'promo_deposit' then 'Promotional credit'
            when 'promo_refund' then 'Promotional credit taken back'
            else 'Adjustment of credit'
        end as description,
        model_id,
        related_month,
        case when kind = 'usage_refund' then 'Requests' else 'Credits' end as unit,
        case when kind = 'usage_refund' then 0 else balance_effect end as quantity,
        entry_count,
        0 as request_count,
        0 as prompt_tokens,
        0 as completion_tokens,
        0 as cached_tokens,
        case when kind = 'usage_refund' then -amount else 0 end as effective_cost,
        case
            when kind = 'usage_refund' and billing = 'postpaid' then -amount
            when kind in ('deposit', 'deposit_refund', 'deposit_adjustment', 'withdrawal') then balance_effect
            else 0
        end as billed_cost,
        balance_effect
    from changes

)

select
    {{ money('of_kind.billed_cost') }} as "BilledCost",
    of_kind.user_id as "BillingAccountId",
    of_kind.user_id as "BillingAccountName",
    upper(of_kind.currency) as "BillingCurrency",
    days.month_ends_at as "BillingPeriodEnd",
    days.month_starts_at as "BillingPeriodStart",
    of_kind.category as "ChargeCategory",
    case when of_kind.related_month < days.month_start then 'Correction' end as "ChargeClass",
    of_kind.description as "ChargeDescription",
    case when of_kind.category = 'Usage' then 'Usage-Based' else 'One-Time' end as "ChargeFrequency",
    days.day_ends_at as "ChargePeriodEnd",
    days.day_starts_at as "ChargePeriodStart",
    cast(null as varchar) as "CommitmentDiscountStatus",
    cast(case when of_kind.category = 'Usage' then of_kind.quantity end as decimal(38, 12)) as "ConsumedQuantity",
    case when of_kind.category = 'Usage' then of_kind.unit end as "ConsumedUnit",
    {{ money("case when of_kind.category = 'Usage' then of_kind.effective_cost else of_kind.billed_cost end") }} as "ContractedCost",
    {{ money('of_kind.effective_cost') }} as "EffectiveCost",
    cast(null as varchar) as "InvoiceId",
    coalesce(settings.focus_provider_name, of_kind.paywall_id) as "InvoiceIssuerName",
    {{ money("case when of_kind.category = 'Usage' then of_kind.effective_cost else of_kind.billed_cost end") }} as "ListCost",
    {{ money('of_kind.quantity') }} as "PricingQuantity",
    of_kind.unit as "PricingUnit",
    coalesce(settings.focus_provider_name, of_kind.paywall_id) as "ProviderName",
    coalesce(settings.focus_provider_name, of_kind.paywall_id) as "PublisherName",
    'AI and Machine Learning' as "ServiceCategory",
    'AI models' as "ServiceName",
    'Generative AI' as "ServiceSubcategory",
    coalesce(of_kind.model_id, 'prepaid-credit') as "SkuId",
    coalesce(of_kind.model_id, 'Prepaid credit') as "SkuMeter",
    of_kind.paywall_id as "SubAccountId",
    of_kind.paywall_id as "SubAccountName",
    cast(json_object('paywall:kind', of_kind.kind, 'paywall:model', of_kind.model_id) as varchar) as "Tags",
    {{ money('of_kind.balance_effect') }} as "x_BalanceEffect",
    of_kind.billing as "x_Billing",
    {{ whole('of_kind.cached_tokens') }} as "x_CachedTokens",
    {{ whole('of_kind.completion_tokens') }} as "x_CompletionTokens",
    {{ whole('of_kind.entry_count') }} as "x_EntryCount",
    of_kind.kind as "x_Kind",
    {{ whole('of_kind.prompt_tokens') }} as "x_PromptTokens",
    case
        when of_kind.related_month < days.month_start then {{ reporting_midnight('of_kind.related_month') }}
        else days.month_starts_at
    end as "x_RelatedPeriodStart",
    of_kind.entry_date as "x_ReportingDate",
    {{ whole('of_kind.request_count') }} as "x_RequestCount"
from rows_of_kinds as of_kind
inner join days on of_kind.entry_date = days.date_day
cross join settings
{%- endmacro %}

{#- Return the instant at which a reporting day begins. -#}
{% macro reporting_midnight(day) -%}
    timezone(settings.reporting_timezone, cast({{ day }} as timestamp))
{%- endmacro %}
