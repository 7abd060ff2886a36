{#- Return the values of a group as a sorted list. -#}
{% macro sorted_list(expression) -%}
    {{ return(adapter.dispatch('sorted_list', 'paywall_warehouse')(expression)) }}
{%- endmacro %}

{% macro duckdb__sorted_list(expression) -%}
    list_sort(list({{ expression }}))
{%- endmacro %}

{% macro spark__sorted_list(expression) -%}
    sort_array(collect_list({{ expression }}))
{%- endmacro %}
