{#-
    Return the smallest amount of a currency that a processor can pay. The currencies without and with three
    decimals are those of Stripe's list. Currencies that Stripe does not have follow ISO 4217. Codes that are
    not in ISO 4217, such as tokens, are paid in any fraction.
-#}
{% macro smallest_unit(currency) -%}
    cast(
        case
            when {{ currency }} in (
                'bif', 'clp', 'djf', 'gnf', 'jpy', 'kmf', 'krw', 'mga', 'pyg', 'rwf', 'vnd', 'vuv', 'xaf', 'xof', 'xpf'
            ) then 1
            when {{ currency }} in ('bhd', 'iqd', 'jod', 'kwd', 'lyd', 'omr', 'tnd') then 0.001
            when length({{ currency }}) <> 3 or {{ currency }} in ('btc', 'dai', 'eth', 'sol') then 0.000000000001
            else 0.01
        end as decimal(38, 12)
    )
{%- endmacro %}
