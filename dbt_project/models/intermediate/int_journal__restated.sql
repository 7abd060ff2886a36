{#- The lines of the journal: journal, account, side, amount (docs/contract.md#5b3-journal). -#}
{%- set from_credit = [
    ('receipts', 'clearing', 'debit', 'paid_added_clearing'),
    ('receipts', 'adjustments', 'debit', 'paid_added - paid_added_clearing'),
    ('receipts', 'deferred_revenue', 'credit', 'paid_added'),
    ('usage', 'deferred_revenue', 'debit', 'revenue_paid'),
    ('usage', 'promotional_credits', 'debit', 'revenue_promo'),
    ('usage', 'overdraft_receivable', 'debit', 'revenue_unfunded'),
    ('usage', 'usage_revenue', 'credit', 'revenue_paid + revenue_promo + revenue_unfunded'),
    ('settlement', 'deferred_revenue', 'debit', 'overdraft_settled_paid'),
    ('settlement', 'promotional_credits', 'debit', 'overdraft_settled_promo'),
    ('settlement', 'overdraft_receivable', 'credit', 'overdraft_settled_paid + overdraft_settled_promo'),
    ('refunds', 'usage_revenue', 'debit', 'refunds_paid + refunds_promo + refunds_unfunded'),
    ('refunds', 'deferred_revenue', 'credit', 'refunds_paid'),
    ('refunds', 'promotional_credits', 'credit', 'refunds_promo'),
    ('refunds', 'overdraft_receivable', 'credit', 'refunds_unfunded'),
    ('returns', 'deferred_revenue', 'debit', 'paid_returned'),
    ('returns', 'promotional_credits', 'debit', 'promo_returned_clearing'),
    ('returns', 'overdraft_receivable', 'debit', 'unfunded_returned - unfunded_expired'),
    ('returns', 'clearing', 'credit', 'paid_returned_clearing + promo_returned_clearing + unfunded_returned_clearing'),
    ('returns', 'adjustments', 'credit',
        'paid_returned - paid_returned_clearing + unfunded_returned - unfunded_expired - unfunded_returned_clearing'),
    ('expiry', 'deferred_revenue', 'debit', 'paid_expired'),
    ('expiry', 'overdraft_receivable', 'debit', 'unfunded_expired'),
    ('expiry', 'breakage_revenue', 'credit', 'paid_expired + unfunded_expired'),
] -%}
{%- set from_usage = [
    ('usage', 'accounts_receivable', 'debit', 'postpaid_revenue'),
    ('usage', 'usage_revenue', 'credit', 'postpaid_revenue'),
    ('usage', 'usage_revenue', 'debit', 'postpaid_refunds'),
    ('usage', 'accounts_receivable', 'credit', 'postpaid_refunds'),
    ('cogs', 'provider_cost', 'debit', 'provider_cost'),
    ('cogs', 'accrued_provider_cost', 'credit', 'provider_cost'),
    ('fees', 'platform_fees', 'debit', 'platform_fees'),
    ('fees', 'accrued_platform_fees', 'credit', 'platform_fees'),
] -%}
with

credit as (select * from {{ ref('fct_credit_totals') }}),

daily_revenue as (select * from {{ ref('fct_daily_revenue') }}),

postpaid as (

    select
        entry_date as date_day,
        currency,
        {{ money('sum(revenue)') }} as postpaid_revenue,
        {{ money('sum(refunds)') }} as postpaid_refunds
    from {{ ref('fct_ledger_entries') }}
    where billing = 'postpaid' and status = 'settled'
    group by entry_date, currency

),

-- A cost in another currency than that of its charge is in no total of charges.
foreign_costs as (

    select
        entry_date as date_day,
        provider_cost_currency as currency,
        {{ money('sum(provider_cost)') }} as provider_cost
    from {{ ref('fct_ledger_entries') }}
    where
        provider_cost_currency <> currency
        and entry_type = 'charge'
        and status in ('settled', 'failed', 'reversed')
        and provider_cost is not null
    group by entry_date, provider_cost_currency

),

usage as (

    select
        date_day,
        currency,
        {{ money('sum(postpaid_revenue)') }} as postpaid_revenue,
        {{ money('sum(postpaid_refunds)') }} as postpaid_refunds,
        {{ money('sum(provider_cost)') }} as provider_cost,
        {{ money('sum(platform_fees)') }} as platform_fees
    from (
        select
            date_day,
            currency,
            0 as postpaid_revenue,
            0 as postpaid_refunds,
            provider_cost,
            platform_fees
        from daily_revenue
        union all
        select
            date_day,
            currency,
            postpaid_revenue,
            postpaid_refunds,
            0 as provider_cost,
            0 as platform_fees
        from postpaid
        union all
        select
            date_day,
            currency,
            0 as postpaid_revenue,
            0 as postpaid_refunds,
            provider_cost,
            0 as platform_fees
        from foreign_costs
    ) as daily
    group by date_day, currency

),

lines as (

    {% for table, journaled in [('credit', from_credit), ('usage', from_usage)] -%}
    {%- set several = not loop.first -%}
    {%- for journal, account, side, amount in journaled %}
    {{ 'union all\n' if several or not loop.first }}
    select
        date_day,
        '{{ journal }}' as journal,
        '{{ account }}' as account,
        currency,
        {{ amount if side == 'debit' else 0 }} as debit,
        {{ amount if side == 'credit' else 0 }} as credit
    from {{ table }}
    {%- endfor %}
    {%- endfor %}

)

select
    date_day as relates_to_date,
    journal,
    account,
    currency,
    {{ money('sum(debit)') }} as debit,
    {{ money('sum(credit)') }} as credit
from lines
where debit <> 0 or credit <> 0
group by date_day, journal, account, currency, debit <> 0
