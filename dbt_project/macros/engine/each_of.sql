{#- Return a column of a select list with a row for every value of a list. -#}
{% macro each_of(list) -%}
    {{ return(adapter.dispatch('each_of', 'paywall_warehouse')(list)) }}
{%- endmacro %}

{% macro duckdb__each_of(list) -%}
    unnest({{ list }})
{%- endmacro %}

{% macro spark__each_of(list) -%}
    explode({{ list }})
{%- endmacro %}
