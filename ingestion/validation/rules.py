"""The rules that records obey: each is SQL over the fields of a record, with a reject code and a message."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ingestion.validation import reject_codes
from ingestion.validation.macros import MAX_AMOUNT_DIGITS, MAX_COUNT
from paywall_warehouse.quoting import literal


@dataclass(frozen=True)
class Rule:
    """A reason to reject a record. Each attribute is a SQL expression over the record's columns."""

    when: str
    """Whether the record breaks the rule."""
    code: str
    message: str


def first_broken(rules: Sequence[Rule]) -> str:
    """Return SQL for the number of the first rule that a record breaks; NULL for a valid record."""
    cases = "\n        ".join(f"when {rule.when} then {number}" for number, rule in enumerate(rules))
    return f"case\n        {cases}\n    end"


def of_broken_rule(rules: Sequence[Rule], part: Literal["code", "message"]) -> str:
    """Return SQL for the code or the message of the rule whose number is in the column `broken`."""
    cases = "\n        ".join(
        f"when {number} then {getattr(rule, part)}" for number, rule in enumerate(rules)
    )
    return f"case broken\n        {cases}\n    end"


# Faults of a record's text, which are found before any field is looked at.
TEXT_PROBLEMS = {
    "invalid_utf8": "the record is not UTF-8 text; write the file in UTF-8",
    "record_too_long": (
        "the record has more than 1 MiB; only the beginning is kept here. Split it or shorten its metadata"
    ),
    "invalid_json": (
        "the record is not valid JSON; one object per line is expected, or an array of them in a .json file"
    ),
    "not_an_object": (
        "the record is valid JSON, but not an object; one object per line is expected, or an array of them in"
        " a .json file"
    ),
    "duplicate_field": "the object has a field more than once; state it once",
    "bad_quoting": "the quotes do not match; quote fields as RFC 4180 defines it, with inner quotes doubled",
    "too_many_fields": "the row has more fields than the header; quote fields that contain the separator",
    "too_few_fields": "the row has fewer fields than the header; write every separator",
    "page_too_long": "the page has more than 32 MiB; land smaller pages, or a bucket on each line",
    "without_results": (
        'the bucket has no list "results", so that it is unknown what was billed; land the answer of the API'
        " as it is"
    ),
}
RULES_OF_FORM = (
    Rule(
        "problem is not null",
        "problem",
        "case problem "
        + " ".join(f"when {literal(code)} then {literal(text)}" for code, text in TEXT_PROBLEMS.items())
        + " end",
    ),
    Rule(
        "wrong_type is not null",
        "'wrong_type'",
        """'field "' || wrong_type || '" is an object, a list or a boolean; state a text or a number'""",
    ),
)


def known_fields(allowed: Sequence[str], unknown: str) -> Rule:
    """Return the rule that a record has only the allowed fields.

    `unknown` is SQL for the list of the names of its other fields, NULL without any.
    """
    listed = literal('" is not known; allowed: ' + ", ".join(allowed))
    return Rule(
        f"len({unknown}) > 0",
        literal(reject_codes.UNKNOWN_COLUMN),
        f"""'field "' || left({unknown}[1], 255) || {listed}""",
    )


def required(field: str, *, unless: str = "false") -> Rule:
    """Return the rule that the field must be stated."""
    return Rule(
        f"f_{field} is null and not ({unless})",
        "'missing_field'",
        literal(f'field "{field}" is required and is missing or empty; state it'),
    )


def at_most(field: str, characters: int) -> Rule:
    """Return the rule that the field's text has at most this many characters."""
    return Rule(
        f"length(f_{field}) > {characters}",
        "'text_too_long'",
        _message(
            field, f"'has ' || length(f_{field}) || ' characters, {characters} are allowed; shorten it'"
        ),
    )


def money(field: str, *, signed: str = "false") -> list[Rule]:
    """Return the rules that the field is a decimal below 10^18 that `DECIMAL(38,12)` holds exactly, and not
    below zero unless `signed` (SQL) holds.
    """
    messages = {
        "bad_amount": "is not a decimal number",
        "amount_too_large": f"is 10^{MAX_AMOUNT_DIGITS} or more; amounts are in major units, such as dollars",
        "too_many_decimals": "has more than 12 decimals that are not 0",
    }
    cases = " ".join(f"when {literal(code)} then {literal(text)}" for code, text in messages.items())
    return [
        Rule(
            f"f_{field} is not null and v_{field} is null",
            f"money_problem(f_{field})",
            _message(field, f"case money_problem(f_{field}) {cases} end || ': ' || shown(f_{field})"),
        ),
        Rule(
            f"v_{field} < 0 and not ({signed})",
            "'negative_amount'",
            _message(field, f"'is below zero: ' || shown(f_{field}) || '; only an adjustment is signed'"),
        ),
    ]


def instant(field: str) -> Rule:
    """Return the rule that the field is an RFC 3339 time with offset, in a plausible year."""
    messages = (
        "when 'time_without_offset' then 'has no offset; add Z or one such as +02:00'"
        " when 'time_out_of_range' then 'is not between 1970 and 2100'"
        " else 'is not an RFC 3339 time'"
    )
    return Rule(
        f"f_{field} is not null and (v_{field} is null or not is_plausible(v_{field}))",
        f"time_problem(f_{field})",
        _message(field, f"case time_problem(f_{field}) {messages} end || ': ' || shown(f_{field})"),
    )


def whole_number(field: str) -> Rule:
    """Return the rule that the field is an integer of at most `MAX_COUNT`, not below zero."""
    messages = (
        "when 'negative_count' then 'is below zero'"
        f" when 'count_too_large' then 'is more than {MAX_COUNT:,}; no request has so many tokens'"
        " else 'is not a whole number'"
    )
    return Rule(
        f"f_{field} is not null and v_{field} is null",
        f"count_problem(f_{field})",
        _message(field, f"case count_problem(f_{field}) {messages} end || ': ' || shown(f_{field})"),
    )


def currency(field: str) -> Rule:
    """Return the rule that the field is a currency code of 3 to 5 letters."""
    return Rule(
        f"f_{field} is not null and not regexp_full_match(f_{field}, '[A-Za-z]{{3,5}}')",
        "'bad_currency'",
        _message(field, f"'is not a code of 3 to 5 letters: ' || shown(f_{field})"),
    )


def _message(field: str, fault: str) -> str:
    """Return SQL for a message that names a field and then its fault (SQL)."""
    return f"""'field "{field}" ' || {fault}"""


MAX_METADATA_BYTES = 64 << 10
METADATA_RULES = (
    Rule(
        "o_metadata is not null and (not starts_with(ltrim(o_metadata), '{') or json_problem(o_metadata) is"
        " not null)",
        "'bad_metadata'",
        _message("metadata", "'is not a JSON object: ' || shown(o_metadata)"),
    ),
    Rule(
        f"strlen(o_metadata) > {MAX_METADATA_BYTES}",
        "'metadata_too_large'",
        _message(
            "metadata",
            f"'has ' || strlen(o_metadata) || ' bytes, {MAX_METADATA_BYTES} are allowed; shorten it'",
        ),
    ),
)
