{#- Return a list of one value. -#}
{% macro list_of(expression) -%}
    {{ return(adapter.dispatch('list_of', 'paywall_warehouse')(expression)) }}
{%- endmacro %}

{% macro duckdb__list_of(expression) -%}
    [{{ expression }}]
{%- endmacro %}

{% macro spark__list_of(expression) -%}
    array({{ expression }})
{%- endmacro %}
