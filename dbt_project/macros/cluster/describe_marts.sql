{#- `dbt run-operation` on tables that came from a cluster: descriptions as comments, as models get them, and what readers call. -#}
{% macro describe_marts() -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.schema == 'marts' -%}
        {#- Of marts whose rows stay on the cluster there is an empty table. -#}
        {%- for schema in (node.schema, 'on_cluster') -%}
            {%- set relation = adapter.get_relation(database=target.database, schema=schema, identifier=node.alias) -%}
            {%- if relation -%}
                {%- do run_query(alter_relation_comment(relation, node.description)) -%}
                {%- do run_query(alter_column_comment(relation, node.columns)) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set macros = create_table_macros() -%}
    {%- set forgotten -%}
        {%- for name in ('kpis', 'usage', 'cohorts', 'balances') %}drop macro table if exists marts.{{ name }}; {% endfor -%}
    {%- endset -%}
    {%- do run_query(macros if macros | trim else forgotten) -%}
    {#- Looking for relations has begun a transaction. -#}
    {%- do run_query('commit') -%}
{%- endmacro %}
