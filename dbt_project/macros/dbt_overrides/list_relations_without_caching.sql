{#-
    Before dbt replaces a table, it asks whether it is an Iceberg table. Iceberg tables keep their older
    snapshots, other tables are dropped. In the list that dbt reads first, Spark's session catalog describes
    Iceberg tables as Hive tables. The error raised here is the one that other catalogs return. It makes dbt
    look at each table.
-#}
{% macro spark__list_relations_without_caching(relation) -%}
    {%- set listed = run_query("show table extended in " ~ relation.schema ~ " like '*'") -%}
    {%- if env_var('SPARK_TABLE_FORMAT', 'parquet') == 'iceberg' -%}
        {%- do exceptions.raise_compiler_error('SHOW TABLE EXTENDED is not supported for v2 tables') -%}
    {%- endif -%}
    {{ return(listed) }}
{%- endmacro %}
