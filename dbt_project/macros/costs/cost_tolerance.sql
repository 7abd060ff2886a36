{#-
    Return the largest difference that is no break (docs/contract.md#5a3-breaks): a share of what was billed or
    an absolute amount, whichever is larger, and half a cent for each line of a source that rounds to cents.
    `settings` is the alias of the rows with the settings, with its point.
-#}
{% macro cost_tolerance(billed, rounded_lines, settings='') -%}
    greatest(cast({{ settings }}cost_tolerance_abs as decimal(38, 20)), {{ tolerated_share(billed, settings) }})
        + cast({{ rounded_lines }} as decimal(12, 0)) * cast(0.005 as decimal(3, 3))
{%- endmacro %}

{#-
    Return the tolerated share of an amount or a number of tokens. Its factors are narrow, so that the product
    keeps every digit.
-#}
{% macro tolerated_share(billed, settings='') -%}
    cast(cast({{ settings }}cost_tolerance_rel as decimal(9, 8)) * cast({{ billed }} as decimal(28, 12)) as decimal(38, 20))
{%- endmacro %}
