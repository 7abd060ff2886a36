{#- Run a statement that gives no rows: asked as a query, Spark's Thrift server has none to give, and dbt fails over that. -#}
{% macro run_statement(text) -%}
    {%- call statement() -%}{{ text }}{%- endcall -%}
{%- endmacro %}
