{#-
    Run a statement that returns no rows. If it ran as a query, dbt would fail, because Spark's Thrift server
    has no result for it.
-#}
{% macro run_statement(text) -%}
    {%- call statement() -%}{{ text }}{%- endcall -%}
{%- endmacro %}
