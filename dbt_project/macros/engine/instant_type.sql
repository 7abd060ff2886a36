{#- Return the type of an instant. -#}
{% macro instant_type() -%}
    {{ return(adapter.dispatch('instant_type', 'paywall_warehouse')()) }}
{%- endmacro %}

{% macro duckdb__instant_type() -%}
    timestamp with time zone
{%- endmacro %}

{% macro spark__instant_type() -%}
    timestamp
{%- endmacro %}
