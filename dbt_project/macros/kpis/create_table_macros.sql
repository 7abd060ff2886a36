{#-
    Create the macros that readers of the published file call with their own dates, filters and numbers.
    docs/metrics.md describes them. Names have no catalog, so that they also work in a copy of the file with
    another name.
-#}
{% macro create_table_macros() -%}
    {% if execute and flags.WHICH in ('run', 'build', 'run-operation') -%}
        {{ return(adapter.dispatch('create_table_macros', 'paywall_warehouse')()) }}
    {%- endif %}
{%- endmacro %}

{#- An engine without table macros gets none. -#}
{% macro default__create_table_macros() -%}{%- endmacro %}

{% macro duckdb__create_table_macros() -%}
    {#- The ledger may have stayed on a cluster, so it is not required. -#}
    {%- set tables = [
        'dim_dates', 'fct_balance_rollforward', 'fct_daily_revenue', 'fct_period_kpis', 'fct_user_days', 'fct_user_months', 'fct_wallet_days', 'rpt_users',
    ] -%}
    {%- for table in tables if adapter.get_relation(database=target.database, schema='marts', identifier=table) is none %}
        {{- return('') }}
    {%- endfor %}
{{ create_kpis_macro() }};

{{ create_usage_macro() }};

{{ create_cohorts_macro() }};

create or replace macro marts.balances(as_of_date) as table

select
    user_id,
    paywall_id,
    currency,
    date_day,
    closing_balance
from marts.fct_wallet_days
where date_day <= cast(as_of_date as date) and (valid_to is null or valid_to > cast(as_of_date as date))
order by user_id, paywall_id, currency;

create or replace macro marts.ratio(numerator, denominator) as {{ ratio('numerator', 'denominator') }};
{%- endmacro %}
