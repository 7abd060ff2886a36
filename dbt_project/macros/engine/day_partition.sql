{#- The column of days by which a table is cut into partitions, where the engine has tables that are; `meta` names it for both. -#}
{% macro day_partition(column) -%}
    {{ return(column if target.type == 'spark' else none) }}
{%- endmacro %}
