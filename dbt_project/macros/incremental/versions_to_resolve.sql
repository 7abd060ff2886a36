{#-
    Return the ledger versions from which a build chooses: all on a rebuild, otherwise those of touched
    entries.
-#}
{% macro versions_to_resolve() -%}
    {%- set every, touched = ref('stg_ledger__entry_versions'), ref('int_touched__versions') -%}
    select * from {{ every if is_rebuild() else touched }}
{%- endmacro %}
