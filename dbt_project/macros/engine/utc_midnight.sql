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
