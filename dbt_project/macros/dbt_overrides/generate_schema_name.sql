{#- Return the name of the folder as the schema. On a cluster each build has schemas of its own. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ env_var('BUILD_SCHEMA_PREFIX', '') }}{{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
