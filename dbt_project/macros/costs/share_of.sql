{#-
    Return amount x part / whole, rounded half-even to 12 decimals. All are decimals of 12 decimals, and whole
    is not 0. NULL if the numbers are too large for the calculation: it needs more than 38 digits.

    The amount is counted in units of its last decimal and the quantities in millionths, as whole numbers, so
    that the division has an exact remainder.
-#}
{% macro share_of(amount, part, whole) -%}
    {%- set units = 'cast(1000000000000 as ' ~ whole_type() ~ ')' -%}
    {%- set counted = '(cast(floor(abs(' ~ amount ~ ')) as ' ~ whole_type() ~ ') * ' ~ units
        ~ ' + cast(cast(abs(' ~ amount ~ ') % 1 as decimal(25, 12)) * cast(1000000000000 as decimal(13, 0)) as ' ~ whole_type() ~ '))' -%}
    {%- set numerator, denominator = millionths(part), millionths(whole) -%}
    {%- set rest = '(' ~ counted ~ ' % ' ~ denominator ~ ') * ' ~ numerator -%}
    {%- set quotient = '(' ~ whole_quotient(counted, denominator) ~ ' * ' ~ numerator ~ ' + ' ~ whole_quotient('(' ~ rest ~ ')', denominator) ~ ')' -%}
    {%- set twice = '(2 * ((' ~ rest ~ ') % ' ~ denominator ~ '))' -%}
    {%- set rounded = '(' ~ quotient ~ ' + case when ' ~ twice ~ ' > ' ~ denominator
        ~ ' or (' ~ twice ~ ' = ' ~ denominator ~ ' and ' ~ quotient ~ ' % 2 = 1) then 1 else 0 end)' -%}
    {%- set result -%}
    cast(
        (
            cast({{ whole_quotient(rounded, units) }} as decimal(18, 0))
            + cast({{ rounded }} % {{ units }} as decimal(12, 0)) * cast(0.000000000001 as decimal(12, 12))
        )
        * case when ({{ amount }} < 0) <> (({{ part }} < 0) <> ({{ whole }} < 0)) then -1 else 1 end
        as decimal(38, 12)
    )
    {%- endset -%}
    {{ null_on_overflow(result) }}
{%- endmacro %}

{#- Return the absolute value of a quantity in millionths, as a whole number. -#}
{% macro millionths(quantity) -%}
    cast(cast(abs({{ quantity }}) as decimal(30, 6)) * cast(1000000 as decimal(7, 0)) as {{ whole_type() }})
{%- endmacro %}
