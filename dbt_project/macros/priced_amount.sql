{#-
    Return cost x multiplier + fee, rounded half-even to 12 decimals. All are decimals of 12 decimals and not
    below zero; the cost is below 10^18, the multiplier below 10^6.

    No decimal type holds the whole product. The whole units of the cost times the multiplier have 12
    decimals. The fraction of the cost times the multiplier has 24, and alone has to be rounded. A cast rounds
    a tie up. If that makes the last digit of the sum odd, the tie belongs one digit lower.
-#}
{% macro priced_amount(cost, multiplier, fee) -%}
    {%- set factor = 'cast(' ~ multiplier ~ ' as decimal(19, 12))' -%}
    {%- set exact = 'cast(' ~ cost ~ ' % 1 as decimal(13, 12)) * ' ~ factor -%}
    {%- set rounded = 'cast(' ~ exact ~ ' as decimal(19, 12))' -%}
    {%- set amount -%}
    cast(cast(floor({{ cost }}) as decimal(18, 0)) * {{ factor }} as decimal(38, 12)) + {{ rounded }} + {{ fee }}
    {%- endset -%}
    {%- set is_tie = rounded ~ ' - ' ~ exact ~ ' = cast(0.0000000000005 as decimal(13, 13))' -%}
    {%- set is_odd = '(' ~ amount ~ ') % cast(0.000000000002 as decimal(13, 12)) <> 0' -%}
    cast(
        {{ amount }} - case when {{ is_tie }} and {{ is_odd }} then cast(0.000000000001 as decimal(13, 12)) else cast(0 as decimal(13, 12)) end
        as decimal(38, 12)
    )
{%- endmacro %}
