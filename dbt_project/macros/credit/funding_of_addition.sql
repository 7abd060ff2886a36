{#-
    Return the kind of credit that a positive adjustment adds: as stated, and paid if it states none and names a
    paid deposit, such as a dispute that was won (docs/contract.md#5b1-credit).
-#}
{% macro funding_of_addition(addition, named_deposit) -%}
    case
        when coalesce({{ addition }}.stated_funding, {{ named_deposit }}.funding) = 'paid' then 'paid'
        else 'promo'
    end
{%- endmacro %}
