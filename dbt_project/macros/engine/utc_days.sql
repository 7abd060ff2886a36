{#- Return the instant at which a UTC day begins. -#}
{% macro utc_midnight(day) -%}
    {{ return(adapter.dispatch('utc_midnight', 'paywall_warehouse')(day)) }}
{%- endmacro %}

{% macro duckdb__utc_midnight(day) -%}
    timezone('UTC', cast({{ day }} as timestamp))
{%- endmacro %}

{#- This is correct while the session's time zone is UTC, as the profile sets it. -#}
{% macro spark__utc_midnight(day) -%}
    cast({{ day }} as timestamp)
{%- endmacro %}

{#- Return the UTC day of an instant. On DuckDB it takes a third of the time of `reporting_day`. -#}
{% macro utc_day(instant) -%}
    {{ return(adapter.dispatch('utc_day', 'paywall_warehouse')(instant)) }}
{%- endmacro %}

{% macro duckdb__utc_day(instant) -%}
    (date '1970-01-01' + cast(epoch_us({{ instant }}) // 86400000000 as integer))
{%- endmacro %}

{#- This is correct while the session's time zone is UTC, as the profile sets it. -#}
{% macro spark__utc_day(instant) -%}
    cast({{ instant }} as date)
{%- endmacro %}
