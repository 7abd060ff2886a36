{#-
    dbt's own macro, which on Spark only unit tests call, and whose text they run as a query: a Thrift server answers a `create` with no rows to read, over which
    they fail. So it is run here, and a query handed back.
-#}
{% macro spark__get_create_table_as_sql(temporary, relation, sql) -%}
    {%- call statement() -%}{{ create_table_as(temporary, relation, sql) }}{%- endcall -%}
    {{ return('select 1') }}
{%- endmacro %}
