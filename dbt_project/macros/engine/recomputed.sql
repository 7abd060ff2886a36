{#-
    Return what makes a CTE that several others read be computed for each of them, with only their columns, instead
    of being kept as a whole. Spark always does so.
-#}
{% macro recomputed() -%}
    {{ return(adapter.dispatch('recomputed', 'paywall_warehouse')()) }}
{%- endmacro %}

{% macro duckdb__recomputed() -%}
    not materialized
{%- endmacro %}

{% macro spark__recomputed() -%}
{%- endmacro %}
