{#- The column of days by which a table is cut into partitions, where the engine has tables that keep each partition in few files. -#}
{% macro day_partition(column) -%}
    {{ return(column if target.type == 'spark' and env_var('SPARK_TABLE_FORMAT', 'parquet') == 'iceberg' else none) }}
{%- endmacro %}
