"""The operator's own provider rates (`prices/*.csv`): their rules, and the columns that the lake keeps.

They are specified in docs/contract.md#26-provider-rates.
"""

from ingestion.readers.layout import Layout
from ingestion.validation.fields import stated_fields
from ingestion.validation.rules import (
    RULES_OF_FORM,
    Rule,
    currency,
    first_broken,
    known_fields,
    money,
    of_broken_rule,
    required,
)
from paywall_warehouse.quoting import literal

DATES = ("effective_from", "effective_to")
RATES = ("prompt_per_million", "completion_per_million", "cached_prompt_per_million", "per_request")
FIELDS = ("model", *DATES, *RATES, "currency")
LAYOUT = Layout(columns=FIELDS, required=("model", "effective_from"), money=RATES, refuses_unknown=True)

# A rate per token is the rate per million shifted by six places. DECIMAL(18,15) holds it below 1000 per
# token,
# with nine decimals of the rate per million. A fee per request is DECIMAL(18,12).
MAX_RATE_DECIMALS = 9
LIMITS = {"per_request": 10**6}
LIMIT_PER_MILLION = 10**9


def is_date(field: str) -> Rule:
    """Return the rule that the field is a date."""
    return Rule(
        f"f_{field} is not null and v_{field} is null",
        "'bad_date'",
        f"""'field "{field}" is not a date such as 2026-10-01: ' || shown(f_{field})""",
    )


def is_range() -> Rule:
    """Return the rule that the days are a range, of which the last one is exclusive."""
    return Rule(
        "v_effective_to <= v_effective_from",
        "'bad_date'",
        '\'field "effective_to" (exclusive) is not after "effective_from"\'',
    )


def dates_sql() -> str:
    """Return SQL for the days of a record, as `v_<field>`."""
    return ", ".join(
        f"case when regexp_full_match(f_{name}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') then try_cast(f_{name} as"
        f" date) end as v_{name}"
        for name in DATES
    )


def fits_limit(field: str, limit: int) -> Rule:
    """Return the rule that the field is below a limit."""
    return Rule(
        f"v_{field} >= {limit}",
        "'amount_too_large'",
        f"""'field "{field}" is {limit} or more: ' || shown(f_{field}) || '; rates are in major units'""",
    )


def _rate(field: str) -> list[Rule]:
    return [*money(field), fits_limit(field, LIMITS.get(field, LIMIT_PER_MILLION))]


def _few_decimals(field: str) -> Rule:
    return Rule(
        f"v_{field} <> cast(v_{field} as decimal(38, {MAX_RATE_DECIMALS}))",
        "'too_many_decimals'",
        f"""'field "{field}" has more than {MAX_RATE_DECIMALS} decimals: ' || shown(f_{field})""",
    )


RULES = (
    *RULES_OF_FORM,
    # A file of markups under another name would be read as rates, because both have `per_request`.
    Rule(
        "coalesce(json_exists(extra, '$.multiplier'), false)",
        "'not_a_rate'",
        literal('field "multiplier" belongs to a markup; give the file a name such as markups.csv'),
    ),
    known_fields(FIELDS, "json_keys(extra)"),
    required("model"),
    required("effective_from"),
    *(is_date(field) for field in DATES),
    is_range(),
    Rule(
        " and ".join(f"f_{field} is null" for field in RATES),
        "'missing_field'",
        literal("no rate is stated; state at least one of " + ", ".join(RATES)),
    ),
    *(rule for field in RATES for rule in _rate(field)),
    *(_few_decimals(field) for field in RATES if field != "per_request"),
    currency("currency"),
)


def records_sql(texts: str) -> str:
    """Return SQL for every rate of `texts`, typed, with its text as `raw`.

    A rate that breaks a rule has `reject_code` and `reject_words`; otherwise both are NULL.
    """
    stated = stated_fields(
        texts,
        fields={name: f"$.{name}" for name in FIELDS},
        scalars=("model", "currency"),
        objects={},
        known=FIELDS,
    )
    rates = ", ".join(f"exact_money(f_{name}) as v_{name}" for name in RATES)
    return f"""
    select file_no, line, f_model as model, v_effective_from as effective_from,
        v_effective_to as effective_to,
        {", ".join(f"v_{name} as {name}" for name in RATES)}, lower(f_currency) as currency,
        {of_broken_rule(RULES, "code")} as reject_code,
        {of_broken_rule(RULES, "message")} as reject_words,
        raw
    from (
        select *, {first_broken(RULES)} as broken
        from (select *, {dates_sql()}, {rates} from ({stated}))
    )"""
