{#-
    Return the column of days by which a table is partitioned, or none on an engine without partitions. `meta`
    states it for both.
-#}
{% macro day_partition(column) -%}
    {{ return(adapter.dispatch('day_partition', 'paywall_warehouse')(column)) }}
{%- endmacro %}

{% macro duckdb__day_partition(column) -%}
    {{ return(none) }}
{%- endmacro %}

{% macro spark__day_partition(column) -%}
    {{ return(column) }}
{%- endmacro %}
