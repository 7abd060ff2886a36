{#- Tokens by contract 4.2, from rows that say what they count as (`counted_as`). -#}
{% macro token_sums() -%}
    {{ whole('sum(prompt_tokens) filter (where is_settled_charge)') }} as prompt_tokens,
        {{ whole('sum(completion_tokens) filter (where is_settled_charge)') }} as completion_tokens,
        {{ whole('sum(total_tokens) filter (where is_settled_charge)') }} as total_tokens
{%- endmacro %}
