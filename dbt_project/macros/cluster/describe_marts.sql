{#-
    For `dbt run-operation` on tables that were imported from a cluster: create the views that are not on the cluster,
    write descriptions as comments, as dbt does for models, and create the table macros.
-#}
{% macro describe_marts() -%}
    {#- The ledger may have stayed on the cluster. -#}
    {%- do run_query('drop view if exists marts.rpt_focus') -%}
    {%- if adapter.get_relation(database=target.database, schema='marts', identifier='fct_ledger_entries')
        and adapter.get_relation(database=target.database, schema='marts', identifier='dim_dates') -%}
        {%- do run_query('create view marts.rpt_focus as ' ~ focus_rows('marts.fct_ledger_entries', 'marts.dim_dates', 'ops.settings')) -%}
        {%- do adapter.cache_added(api.Relation.create(database=target.database, schema='marts', identifier='rpt_focus', type='view')) -%}
    {%- endif -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.schema == 'marts' -%}
        {#- A mart whose rows stay on the cluster has an empty table in the schema on_cluster. -#}
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
    {#- Looking up relations has started a transaction. -#}
    {%- do run_query('commit') -%}
{%- endmacro %}
