{#-
    Return the order of the rows of a table that is built anew, so that readers of some days can skip the
    others. None on an engine that keeps the days apart. Rows that later runs insert are of the newest days.
-#}
{% macro by_day(column) -%}
    {{ return(adapter.dispatch('by_day', 'paywall_warehouse')(column)) }}
{%- endmacro %}

{% macro duckdb__by_day(column) -%}
    order by {{ column }}
{%- endmacro %}

{% macro spark__by_day(column) -%}{%- endmacro %}
