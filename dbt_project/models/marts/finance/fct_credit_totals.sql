{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched',
        meta={'day': 'date_day'},
        partition_by=day_partition('date_day'),
        touched_rows='touched_credit_totals',
        touched_match='present.date_day >= touched.first_date',
    )
}}

with

{% if is_incremental() %}
touched as (

    {{ touched_credit_totals() }}

),

{% else %}
-- depends_on: {{ source('build', 'touched_keys') }}
{% endif %}
credit_days as (

    select credit_days.*
    from {{ ref('fct_credit_days') }} as credit_days
    {% if is_incremental() %}
    inner join touched on credit_days.date_day >= touched.first_date
    {% endif %}

)

select
    ---------- grain
    date_day,
    currency,

    ---------- added
    {{ money('sum(paid_added)') }} as paid_added,
    {{ money('sum(promo_added)') }} as promo_added,
    {{ money('sum(overdraft_settled_paid)') }} as overdraft_settled_paid,
    {{ money('sum(overdraft_settled_promo)') }} as overdraft_settled_promo,

    ---------- taken
    {{ money('sum(paid_returned)') }} as paid_returned,
    {{ money('sum(promo_returned)') }} as promo_returned,
    {{ money('sum(unfunded_returned)') }} as unfunded_returned,
    {{ money('sum(paid_expired)') }} as paid_expired,
    {{ money('sum(promo_expired)') }} as promo_expired,

    ---------- used
    {{ money('sum(revenue_paid)') }} as revenue_paid,
    {{ money('sum(revenue_promo)') }} as revenue_promo,
    {{ money('sum(revenue_unfunded)') }} as revenue_unfunded,

    ---------- given back
    {{ money('sum(refunds_paid)') }} as refunds_paid,
    {{ money('sum(refunds_promo)') }} as refunds_promo,
    {{ money('sum(refunds_unfunded)') }} as refunds_unfunded,

    ---------- change over the day
    {{ money('sum(promo_closing - promo_opening)') }} as promo_moved,
    {{ money('sum(overdraft_closing - overdraft_opening)') }} as overdraft_moved,

    ---------- of them, by what the journal books them against
    {{ money('sum(paid_added_clearing)') }} as paid_added_clearing,
    {{ money('sum(paid_returned_clearing)') }} as paid_returned_clearing,
    {{ money('sum(promo_returned_clearing)') }} as promo_returned_clearing,
    {{ money('sum(unfunded_returned_clearing)') }} as unfunded_returned_clearing,
    {{ money('sum(unfunded_expired)') }} as unfunded_expired
from credit_days
group by date_day, currency
