{#-
    Override of dbt's macro, which asks twice for the columns of the table and writes its comments as queries.
    Every table with comments has a contract, so that the described columns exist.
-#}
{% macro duckdb__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- set comments = [] -%}
    {%- if for_relation and config.persist_relation_docs() and model.description -%}
        {%- do comments.append(duckdb__alter_relation_comment(relation, model.description)) -%}
    {%- endif -%}
    {%- if for_columns and config.persist_column_docs() -%}
        {%- for column in model.columns.values() if column.description -%}
            {%- do comments.append('comment on column ' ~ relation ~ '.' ~ column.name ~ ' is ' ~ duckdb_escape_comment(column.description) ~ ';') -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if comments -%}
        {%- call statement('comments') -%}{{ comments | join('\n') }}{%- endcall -%}
    {%- endif -%}
{%- endmacro %}
