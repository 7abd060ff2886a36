{#- The ledger's versions among which a build chooses: all on a rebuild, else those of touched entries. -#}
{% macro versions_to_resolve() -%}
    {%- set every, touched = ref('stg_ledger__entry_versions'), ref('int_touched__versions') -%}
    select * from {{ every if is_rebuild() else touched }}
{%- endmacro %}
