{#- dbt-spark knows only its own strategies. These macros implement `replace_touched` for it. -#}
{% macro dbt_spark_validate_get_incremental_strategy(raw_strategy, file_format) -%}
    {{ return(raw_strategy) }}
{%- endmacro %}

{#-
    Overwrite, in one statement, the days that hold a touched row or get a new one, with their other rows and
    the new ones. All rows are staged first, because they are read from the table that is about to change, and
    because the touched rows are needed twice. A day that is left without rows is deleted separately, because
    only days with rows are overwritten.
-#}
{% macro dbt_spark_get_incremental_sql(strategy, source, target, existing, unique_key, incremental_predicates) -%}
    {%- set columns = adapter.get_columns_in_relation(target) | map(attribute='name') | join(', ') -%}
    {%- set day, staged = config.require('partition_by'), generate_schema_name('build', none) ~ '.' ~ target.identifier -%}
    {%- set fresh, touched, days, kept = staged ~ '__fresh', staged ~ '__touched', staged ~ '__days', staged ~ '__kept' -%}
    {%- set match, fresh_match = config.require('touched_match'), config.get('fresh_match') -%}

    {%- do write_down(fresh, 'select * from ' ~ source) -%}
    {%- do write_down(touched, context[config.require('touched_rows')]()) -%}

    {%- set touched_days -%}
    select present.{{ day }} from {{ target }} as present semi join {{ touched }} as touched on {{ match }}
    union
    select {{ day }} from {{ fresh }}
    {%- if fresh_match %}
    union
    select present.{{ day }} from {{ target }} as present semi join {{ fresh }} as fresh on {{ fresh_match }}
    {%- endif -%}
    {%- endset -%}
    {%- do write_down(days, touched_days) -%}

    {%- set kept_rows -%}
    select present.*
    from {{ target }} as present
    semi join {{ days }} as days on present.{{ day }} = days.{{ day }}
    anti join {{ touched }} as touched on {{ match }}
    {%- if fresh_match %}
    anti join {{ fresh }} as fresh on {{ fresh_match }}
    {%- endif -%}
    {%- endset -%}
    {%- do write_down(kept, kept_rows) -%}

    {%- set emptied = 'select ' ~ day ~ ' from ' ~ days ~ ' except select ' ~ day ~ ' from ' ~ kept ~ ' except select ' ~ day ~ ' from ' ~ fresh -%}
    {%- set left = run_query(emptied).columns[0].values() -%}
    {%- if left and config.get('file_format') == 'iceberg' -%}
        {%- do run_statement('delete from ' ~ target ~ ' where ' ~ day ~ ' in (' ~ emptied ~ ')') -%}
    {%- else -%}
        {%- for each in left -%}{%- do run_statement('alter table ' ~ target ~ ' drop partition (' ~ day ~ " = date '" ~ each ~ "')") -%}{%- endfor -%}
    {%- endif -%}
    {%- do run_statement('set spark.sql.sources.partitionOverwriteMode = dynamic') -%}
    insert overwrite {{ target }} ({{ columns }})
    select {{ gathered_by_day() }} {{ columns }}
    from (
        select {{ columns }} from {{ kept }}
        union all
        select {{ columns }} from {{ fresh }}
    )
{%- endmacro %}

{#-
    Create a table with the current rows of a query. Only Iceberg tables can be replaced. A build on Parquet
    has schemas of its own, in which the table does not exist yet.
-#}
{% macro write_down(name, query) -%}
    {%- set file_format = config.get('file_format') -%}
    {%- do run_statement('create ' ~ ('or replace ' if file_format == 'iceberg') ~ 'table ' ~ name ~ ' using ' ~ file_format ~ ' as ' ~ query) -%}
{%- endmacro %}
