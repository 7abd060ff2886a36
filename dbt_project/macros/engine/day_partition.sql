{#- The column of days by which a table is partitioned; none on an engine without partitions. `meta` names it for both. -#}
{% macro day_partition(column) -%}
    {{ return(adapter.dispatch('day_partition', 'paywall_warehouse')(column)) }}
{%- endmacro %}

{% macro duckdb__day_partition(column) -%}
    {{ return(none) }}
{%- endmacro %}

{% macro spark__day_partition(column) -%}
    {{ return(column) }}
{%- endmacro %}
