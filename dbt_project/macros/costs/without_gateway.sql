{#- Return a model name without the name of the gateway that sells it: OpenRouter's own exports leave it out. -#}
{% macro without_gateway(provider, name) -%}
    case when {{ provider }} = 'openrouter' and {{ name }} like 'openrouter/%' then substr({{ name }}, 12) else {{ name }} end
{%- endmacro %}
