{#- Return the sums of tokens (docs/contract.md#42-metrics) over rows with the columns of `counted_as`. -#}
{% macro token_sums() -%}
    {{ whole('sum(prompt_tokens) filter (where is_settled_charge)') }} as prompt_tokens,
        {{ whole('sum(completion_tokens) filter (where is_settled_charge)') }} as completion_tokens,
        {{ whole('sum(total_tokens) filter (where is_settled_charge)') }} as total_tokens
{%- endmacro %}
