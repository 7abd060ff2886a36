{#- Return how many tokens a bill line states; NULL if it states none. -#}
{% macro tokens_of(lines) -%}
    case
        when {{ lines }}.token_kind not in ('input', 'cached_input', 'cache_write', 'output', 'all') then null
        when {{ lines }}.unit = 'tokens' then {{ lines }}.quantity
        when {{ lines }}.unit = '1000_tokens' then cast(cast({{ lines }}.quantity as decimal(30, 12)) * cast(1000 as decimal(4, 0)) as decimal(38, 12))
    end
{%- endmacro %}
