{#-
    Return the cost of a number of tokens: 0 without tokens, NULL for tokens without a rate. The factors are
    narrow decimals, so that the product keeps every digit.
-#}
{% macro cost_of_tokens(tokens, rate) -%}
    try_cast({{ tokens }} as decimal(18, 0)) * case when {{ tokens }} > 0 then {{ rate }} else cast(0 as decimal(18, 15)) end
{%- endmacro %}
