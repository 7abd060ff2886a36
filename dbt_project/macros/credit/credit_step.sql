{#-
    One day of a wallet's credit (docs/contract.md#5b1-credit), for a row of `day` and the state of
    the wallet `before` it: promo_before, paid_used_before and promo_used_before. Only how credit splits into paid
    and promo depends on the days before; its total is known from balances. Columns of `day`:

    promo_change       promo credit added, without what settled an overdraft, minus what is taken from promo first
    held               all credit after additions and takings
    used_credit        the part of the day's net usage that credit pays for
    given_back         credit given back where refunds exceed charges
    settled_paid, settled_promo
    promo_first        the setting PROMO_FIRST
-#}

{#- Return the promo credit after additions and takings. -#}
{% macro promo_held(before, day) -%}
    least(greatest({{ before }}.promo_before + {{ day }}.promo_change, 0), {{ day }}.held)
{%- endmacro %}

{#- Return the part of used_credit that promo pays for. -#}
{% macro promo_used(before, day) -%}
    case
        when {{ day }}.promo_first then least({{ promo_held(before, day) }}, {{ day }}.used_credit)
        else {{ day }}.used_credit - least({{ day }}.held - {{ promo_held(before, day) }}, {{ day }}.used_credit)
    end
{%- endmacro %}

{#-
    Return the part of given_back that is paid credit: at most what has been used of it. With PROMO_FIRST=false,
    promo that has been used comes before it.
-#}
{% macro paid_given_back(before, day) -%}
    least(
        {{ day }}.given_back - case
            when {{ day }}.promo_first then 0
            else least({{ day }}.given_back, greatest({{ before }}.promo_used_before + {{ day }}.settled_promo, 0))
        end,
        {{ before }}.paid_used_before + {{ day }}.settled_paid
    )
{%- endmacro %}

{#- Return the three values of the state after the day, in the order above. -#}
{% macro credit_after(before, day) -%}
    {{ return([
        promo_held(before, day) ~ ' - ' ~ promo_used(before, day) ~ ' + ' ~ day ~ '.given_back - ' ~ paid_given_back(before, day),
        before ~ '.paid_used_before + ' ~ day ~ '.settled_paid + ' ~ day ~ '.used_credit - ' ~ promo_used(before, day)
            ~ ' - ' ~ paid_given_back(before, day),
        before ~ '.promo_used_before + ' ~ day ~ '.settled_promo + ' ~ promo_used(before, day)
            ~ ' - ' ~ day ~ '.given_back + ' ~ paid_given_back(before, day),
    ]) }}
{%- endmacro %}
