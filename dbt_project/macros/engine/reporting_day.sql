{#- Return the calendar day of an instant in a time zone (IANA name, an expression). -#}
{% macro reporting_day(instant, timezone) -%}
    {{ return(adapter.dispatch('reporting_day', 'paywall_warehouse')(instant, timezone)) }}
{%- endmacro %}

{% macro duckdb__reporting_day(instant, timezone) -%}
    cast(timezone({{ timezone }}, {{ instant }}) as date)
{%- endmacro %}

{#- This is correct while the session's time zone is UTC, as the profile sets it. -#}
{% macro spark__reporting_day(instant, timezone) -%}
    cast(from_utc_timestamp({{ instant }}, {{ timezone }}) as date)
{%- endmacro %}
