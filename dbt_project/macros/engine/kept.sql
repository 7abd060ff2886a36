{#-
    Return what makes a CTE be computed as a whole before others read it. Otherwise DuckDB takes the keys that a join
    looks for into the scan, which then reads the ids of all rows before it drops any of them. Spark has no such word.
-#}
{% macro kept() -%}
    {{ return(adapter.dispatch('kept', 'paywall_warehouse')()) }}
{%- endmacro %}

{% macro duckdb__kept() -%}
    materialized
{%- endmacro %}

{% macro spark__kept() -%}
{%- endmacro %}
