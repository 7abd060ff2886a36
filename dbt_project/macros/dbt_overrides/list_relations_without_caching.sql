{#-
    Before dbt replaces a table it asks whether that is one of Iceberg's, which keep their older snapshots, or is to be dropped. Spark's catalog of sessions
    calls them Hive's in the list that dbt asks first. What is raised here is what other catalogs answer, and lets dbt look at each table.
-#}
{% macro spark__list_relations_without_caching(relation) -%}
    {%- set listed = run_query("show table extended in " ~ relation.schema ~ " like '*'") -%}
    {%- if env_var('SPARK_TABLE_FORMAT', 'parquet') == 'iceberg' -%}
        {%- do exceptions.raise_compiler_error('SHOW TABLE EXTENDED is not supported for v2 tables') -%}
    {%- endif -%}
    {{ return(listed) }}
{%- endmacro %}
