{#- dbt-spark knows its own strategies only; here is `replace_touched` for it. -#}
{% macro dbt_spark_validate_get_incremental_strategy(raw_strategy, file_format) -%}
    {{ return(raw_strategy) }}
{%- endmacro %}

{#-
    The new rows are a view over the table that is about to change: they are written down first. Deleting and inserting are two steps;
    readers see neither before the build is published, and the next build starts from what was.
-#}
{% macro dbt_spark_get_incremental_sql(strategy, source, target, existing, unique_key, incremental_predicates) -%}
    {%- set columns = adapter.get_columns_in_relation(target) | map(attribute='name') | join(', ') -%}
    {%- set fresh = generate_schema_name('build', none) ~ '.' ~ target.identifier ~ '__fresh' -%}
    {%- do run_query('create or replace table ' ~ fresh ~ ' using iceberg as select * from ' ~ source) -%}
    {%- do run_query(delete_matching(target, context[config.require('touched_rows')](), 'touched', config.require('touched_match'))) -%}
    {%- if config.get('fresh_match') -%}
        {%- do run_query(delete_matching(target, 'select * from ' ~ fresh, 'fresh', config.get('fresh_match'))) -%}
    {%- endif -%}
    insert into {{ target }} ({{ columns }})
    select {{ columns }}
    from {{ fresh }}
{%- endmacro %}
