{#-
    The values that must be equal, by check. The first check has two parts. The faults of the second part
    follow those of the first.
-#}
{%- set comparisons = [
    ('stripe_balances_close', 'opening_balance + activity - payouts', 'closing_balance'),
    ('stripe_balances_close', 'closing_before', 'opening_balance'),
    ('stripe_activity_equals_summary', 'itemized_activity', 'activity'),
    ('stripe_payouts_equal_summary', 'itemized_payouts', 'payouts'),
] -%}
{%- set queries = [] -%}
{%- for name, expected, actual in comparisons -%}
{%- set query -%}
select path, line || '-' || last_line as line, account_id || ' ' || currency as id, {{ expected }} as expected, {{ actual }} as actual
from marts.fct_stripe_balances
where {{ expected }} is not null and {{ actual }} is not null and ({{ expected }}) <> ({{ actual }})
order by path, line
{%- endset -%}
{%- do queries.append(query) -%}
{%- endfor -%}
with

balances as (select * from {{ ref('fct_stripe_balances') }}),

faults as (

    {% for name, expected, actual in comparisons %}
    select
        '{{ name }}' as name,
        {{ loop.index }} as part,
        path,
        cast(line as {{ text_type() }}) || '-' || cast(last_line as {{ text_type() }}) as line,
        account_id || ' ' || currency as id,
        {{ money(expected) }} as expected,
        {{ money(actual) }} as actual
    from balances
    where {{ expected }} <> {{ actual }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

{{ checks_of_faults(
    [
        ('stripe_balances_close', 'error', '(from ( ' ~ queries[0] ~ ' )) union all (from ( ' ~ queries[1] ~ ' ))'),
        ('stripe_activity_equals_summary', 'error', queries[2]),
        ('stripe_payouts_equal_summary', 'error', queries[3]),
    ],
    order_by=['part', 'path', 'line', 'id'],
) }}
