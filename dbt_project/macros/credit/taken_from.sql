{#-
    Return the part of a taking that one kind of credit pays for. `taken_through` is the sum of the day's takings
    of its half, this one included. The kind that comes `first` pays until it is used up, then the other one.
-#}
{% macro taken_from(credit, other_credit, first) -%}
    {%- set reach = 'case when ' ~ first ~ ' then taken_through else greatest(taken_through - ' ~ other_credit ~ ', 0) end' -%}
    {%- set before = 'case when ' ~ first ~ ' then taken_through - amount else greatest(taken_through - amount - ' ~ other_credit ~ ', 0) end' -%}
    {{ money('least(' ~ credit ~ ', ' ~ reach ~ ') - least(' ~ credit ~ ', ' ~ before ~ ')') }}
{%- endmacro %}
