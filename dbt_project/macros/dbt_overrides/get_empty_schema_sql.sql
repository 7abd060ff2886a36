{#-
    Return a model's contract as a query without rows. Contracts state DuckDB's names of types. This is dbt's
    own macro, with Spark's names on Spark.
-#}
{% macro spark__get_empty_schema_sql(columns) -%}
    select
    {%- for column in columns.values() %}
        cast(null as {{ spark_type(column.data_type) }}) as {{ column.name }}{{ ',' if not loop.last }}
    {%- endfor %}
    where false
{%- endmacro %}

{% macro spark_type(data_type) -%}
    {{ return({'varchar': 'string', 'varchar[]': 'array<string>', 'timestamp with time zone': 'timestamp'}.get(data_type, data_type)) }}
{%- endmacro %}
