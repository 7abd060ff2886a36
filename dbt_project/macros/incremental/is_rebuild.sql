{#- Return whether everything is recomputed. This is also the case if there are no entries yet. -#}
{% macro is_rebuild() -%}
    {% if not execute or flags.FULL_REFRESH %}{{ return(true) }}{% endif %}
    {{ return(adapter.get_relation(database=target.database, schema=generate_schema_name('marts', none), identifier='fct_ledger_entries') is none) }}
{%- endmacro %}
