"""What all formats of `bills/` share: their fields, with personal data masked, and the rules of their values.

Amounts are rounded half-even to 12 decimals, because many of them are the text of a float. Reject texts are
made of the columns that a format reads, and of nothing else of the record.
"""

from collections.abc import Mapping, Sequence

from ingestion.readers.layout import Layout
from ingestion.validation import reject_codes
from ingestion.validation.fields import json_path, stated_fields
from ingestion.validation.rules import (
    RULES_OF_FORM,
    Rule,
    at_most,
    first_broken,
    of_broken_rule,
)
from paywall_warehouse.quoting import literal

TEXT_CHARACTERS = 255


def field_name(column: str) -> str:
    """Return the name that a column of a file has in SQL, after the prefix `f_`."""
    return column.strip("_").replace(" ", "_").replace(".", "_").lower()


def stated(texts: str, layout: Layout) -> str:
    """Return SQL for the fields of each record as `f_<field>` and `o_<field>`, and the account of its file.

    E-mail addresses and secret keys are masked in every field, because a row whose values have moved by a
    column states them anywhere.
    """
    scalars = {field_name(column): column for column in layout.columns if column not in layout.json}
    fields = stated_fields(
        texts,
        fields={name: json_path(column) for name, column in scalars.items()},
        scalars=list(scalars),
        objects={field_name(column): json_path(column) for column in layout.json},
        known=layout.columns,
        names=scalars,
        keeps_unknown=False,
    )
    masked = ", ".join(f"masked(f_{name}) as f_{name}" for name in scalars)
    return f"select * replace ({masked}) from ({fields}) left join file_facts using (file_no)"


def validated(records: str, columns: Mapping[str, str], rules: Sequence[Rule], kept: Sequence[str]) -> str:
    """Return SQL for the records with the columns of their table, validated.

    A record that breaks a rule has `reject_code` and `reject_words`; otherwise both are NULL. `kept` are the
    columns of the file that a reject's text shows.
    """
    shown = ", ".join(
        f"{literal(column)}, case when not may_be_no_scalar(f_{field_name(column)})"
        f" then f_{field_name(column)} end"
        for column in kept
    )
    return f"""
    select
        file_no, line, {", ".join(f"{sql} as {name}" for name, sql in columns.items())},
        {of_broken_rule(rules, "code")} as reject_code,
        {of_broken_rule(rules, "message")} as reject_words,
        case when problem is null then cast(json_merge_patch('{{}}', json_object({shown})) as varchar) end
            as raw
    from (select *, {first_broken(rules)} as broken from ({records}))"""


def rules_of_texts(kept: Sequence[str]) -> list[Rule]:
    """Return the rules that hold for the form of a record and the length of its texts."""
    names = [field_name(column) for column in kept]
    return [*RULES_OF_FORM, *(at_most(name, TEXT_CHARACTERS) for name in names)]


def either(*columns: str) -> str:
    """Return the columns of which one states a value, for a message that quotes the name of a field."""
    return '" or "'.join(columns)


def stated_rule(when: str, column: str) -> Rule:
    """Return the rule that a value is stated; `when` is SQL for whether it is missing."""
    return Rule(
        when, "'missing_field'", literal(f'field "{column}" is required and is missing or empty; state it')
    )


def amount_rule(text: str, plain: str, column: str) -> Rule:
    """Return the rule that a text (SQL) is a decimal below 10^18, with any sign and number of decimals.

    `plain` is the column with its `float_text`.
    """
    return Rule(
        f"{text} is not null and {plain} is null",
        f"coalesce(money_problem({text}), 'bad_amount')",
        f"""'field "{column}" ' || case when money_problem({text}) = 'amount_too_large'
            then 'is 10^18 or more' else 'is not a decimal number' end || ': ' || shown({text})""",
    )


def choice_rule(value: str, column: str, allowed: Sequence[str], code: str) -> Rule:
    """Return the rule that a value (SQL) is one of the allowed ones, or is not stated."""
    return Rule(
        f"{value} not in ({', '.join(map(literal, allowed))})",
        literal(code),
        f"""'field "{column}" is ' || shown({value}) || {literal("; allowed: " + ", ".join(allowed))}""",
    )


def currency_rule(text: str, column: str) -> Rule:
    """Return the rule that a text (SQL) has the form of a currency code."""
    return Rule(
        f"{text} is not null and not regexp_full_match({text}, '[A-Za-z]{{3,5}}')",
        "'bad_currency'",
        f"""'field "{column}" is not a code of 3 to 5 letters: ' || shown({text})""",
    )


def time_rules(text: str, value: str, column: str) -> list[Rule]:
    """Return the rules that a text (SQL) is a time, and that its value is between 1970 and 2100."""
    return [
        Rule(
            f"{text} is not null and {value} is null",
            "'bad_time'",
            f"""'field "{column}" is not a time such as 2026-10-01T00:00:00Z or a day: ' || shown({text})""",
        ),
        Rule(
            f"not is_plausible({value})",
            "'time_out_of_range'",
            f"""'field "{column}" is not between 1970 and 2100: ' || shown({text})""",
        ),
    ]


def period_rules(start: str, end: str, columns: tuple[str, str]) -> list[Rule]:
    """Return the rules that a period has a length, and at most that of a year."""
    first, last = columns
    return [
        Rule(
            f"{end} <= {start}",
            literal(reject_codes.BAD_PERIOD),
            literal(f'field "{last}" (exclusive) is not after "{first}"'),
        ),
        Rule(
            f"{end} > {start} + interval 8784 hour",
            literal(reject_codes.PERIOD_TOO_LONG),
            literal(f'the period from "{first}" to "{last}" has more than 366 days; correct it'),
        ),
    ]


def utc_day(instant: str) -> str:
    """Return SQL for the UTC day of an instant."""
    return f"cast(timezone('UTC', {instant}) as date)"


def midnight(instant: str) -> str:
    """Return SQL for the beginning of the UTC day of an instant."""
    return f"timezone('UTC', date_trunc('day', timezone('UTC', {instant})))"
