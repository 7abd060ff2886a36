{%- set amounts = [
    'paid_added', 'paid_added_clearing', 'promo_added', 'overdraft_settled_paid', 'overdraft_settled_promo',
    'paid_returned', 'paid_returned_clearing', 'promo_returned', 'promo_returned_clearing',
    'unfunded_returned', 'unfunded_returned_clearing', 'unfunded_expired', 'paid_expired', 'promo_expired',
    'revenue_paid', 'revenue_promo', 'revenue_unfunded', 'refunds_paid', 'refunds_promo', 'refunds_unfunded',
] -%}
with

credit_days as (select * from {{ ref('fct_credit_days') }})

select
    date_day,
    currency,
    {%- for amount in amounts %}
    {{ money('sum(' ~ amount ~ ')') }} as {{ amount }},
    {%- endfor %}
    {{ money('sum(promo_closing - promo_opening)') }} as promo_moved,
    {{ money('sum(overdraft_closing - overdraft_opening)') }} as overdraft_moved
from credit_days
group by date_day, currency
