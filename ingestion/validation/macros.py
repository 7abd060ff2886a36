"""The SQL that turns stated text into exact values: macros for money, instants, counts and JSON, and a table
of rules.

DuckDB's JSON reader makes every JSON number a DOUBLE, so a number of more than 15 digits loses some. Such
texts are marked first: each number outside a string becomes a string that starts with the control character
U+0001 and a token, and the mark is taken off again once the field is out of its JSON. `try_cast` to DECIMAL
cuts surplus decimals without a word and takes `1_000`, so money is matched against a pattern before it is
cast.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from paywall_warehouse.quoting import literal
from paywall_warehouse.settings import EARLIEST, LATEST

# Sums of a hundred million amounts below 10^18 fit DECIMAL(38,12), and sums of nine million counts fit
# BIGINT: no one record stops a build.
MAX_AMOUNT_DIGITS = 18
MAX_COUNT = 10**12

MACROS = r"""
-- What needs a closer look: a run of 16 digits and points (a number that a DOUBLE may not hold), a comma before a closing bracket,
-- NaN, Infinity. Six out of ten seconds of a load once went into looking closely at every record.
create or replace temp macro is_odd(t) as regexp_matches(t, '[0-9.]{16}|,\s*[}\]]|(?i:nan|inf)');
-- Of a field that has been taken out of its JSON: is it an object, a list, a boolean, or a text that looks like one? Comparisons are the
-- quickest way to look at a first letter.
create or replace temp macro may_be_no_scalar(t) as (t < '\' and t >= '[') or (t >= '{' and t < '|') or t = 'true' or t = 'false';
create or replace temp macro has_long_number(t) as regexp_matches(t, '[0-9.]{16}');

create or replace temp macro mark_numbers(t) as array_to_string(list_transform(
    regexp_extract_all(t, '"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|[^"0-9-]+|.', 0, 's'),
    lambda token: case when regexp_matches(token, '^-?[0-9]') then '"\u0001{MARK}' || token || '"' else token end), '');
create or replace temp macro unmark(t) as replace(t, chr(1) || '{MARK}', '');
create or replace temp macro unmark_json(t) as regexp_replace(t, '"\\u0001{MARK}([^"]*)"', '\1', 'g');

-- DuckDB's parser takes trailing commas, NaN and Infinity; RFC 8259 does not.
create or replace temp macro looks_lax(t) as regexp_matches(t, ',\s*[}\]]|[:\[,]\s*-?(?i:nan|inf)');
create or replace temp macro is_lax(t) as looks_lax(t) and looks_lax(regexp_replace(t, '"(?:[^"\\]|\\.)*"', '""', 'g'));
create or replace temp macro json_problem(t) as case
    when not json_valid(t) or is_lax(t) then 'invalid_json'
    when not starts_with(ltrim(t), '{') then 'not_an_object'
end;

create or replace temp macro is_plain_decimal(t) as regexp_full_match(t, '-?[0-9]{1,{MAX_AMOUNT_DIGITS}}(\.[0-9]{1,12})?');
create or replace temp macro is_decimal(t) as regexp_full_match(t, '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?');
create or replace temp macro decimal_digits(t) as
    regexp_extract(t, '^[+-]?([0-9]*)\.?([0-9]*)', 1) || regexp_extract(t, '^[+-]?([0-9]*)\.?([0-9]*)', 2);
create or replace temp macro decimal_exponent(t) as case
    when not regexp_matches(t, '[eE]') then 0
    else coalesce(
        try_cast(regexp_extract(t, '[eE]([+-]?[0-9]+)$', 1) as integer), case when regexp_matches(t, '[eE]-') then -1000000 else 1000000 end
    )
end;
-- The significant digits, and how many of them (zeros added or, if negative, counted behind the point) stand before the point.
create or replace temp macro significant_digits(t) as trim(decimal_digits(t), '0');
create or replace temp macro digits_before_point(t) as
    length(regexp_extract(t, '^[+-]?([0-9]*)', 1)) + decimal_exponent(t)
    - (length(decimal_digits(t)) - length(ltrim(decimal_digits(t), '0')));
create or replace temp macro money_problem(t) as case
    when is_plain_decimal(t) then null
    when not is_decimal(t) then 'bad_amount'
    when significant_digits(t) = '' then null
    when digits_before_point(t) > {MAX_AMOUNT_DIGITS} then 'amount_too_large'
    when length(significant_digits(t)) - digits_before_point(t) > 12 then 'too_many_decimals'
end;
create or replace temp macro written_out(t) as case
    when significant_digits(t) = '' then '0'
    when digits_before_point(t) <= 0 then '0.' || repeat('0', -digits_before_point(t)) || significant_digits(t)
    when digits_before_point(t) >= length(significant_digits(t)) then rpad(significant_digits(t), digits_before_point(t)::integer, '0')
    else significant_digits(t)[:digits_before_point(t)] || '.' || significant_digits(t)[digits_before_point(t) + 1:]
end;
create or replace temp macro exact_money(t) as case
    when is_plain_decimal(t) then cast(t as decimal(38, 12))
    when money_problem(t) is null and t is not null
        then cast(case when starts_with(t, '-') then '-' else '' end || written_out(t) as decimal(38, 12))
end;

create or replace temp macro is_time(t) as regexp_full_match(
    t, '[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])'
);
create or replace temp macro exact_time(t) as
    case when is_time(t) then coalesce(try_cast(t as timestamptz), try_cast(upper(t) as timestamptz)) end;
create or replace temp macro is_plausible(instant) as instant >= timestamptz '{EARLIEST}' and instant < timestamptz '{LATEST}';
create or replace temp macro time_problem(t) as case
    when is_plausible(exact_time(t)) then null
    when exact_time(t) is not null then 'time_out_of_range'
    when regexp_full_match(t, '[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?)?') then 'time_without_offset'
    else 'bad_time'
end;

-- As Stripe's reports write times: without an offset, in a zone that the file's facts or the column's name tell; or Unix seconds.
create or replace temp macro local_time(t) as case
    when regexp_full_match(t, '[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?)?') then try_cast(t as timestamp)
end;
-- NULL for a local time whose zone is NULL.
create or replace temp macro stripe_time(t, zone) as case
    when is_time(t) then exact_time(t)
    when local_time(t) is not null then timezone(zone, local_time(t))
    when regexp_full_match(t, '[0-9]{9,10}') then make_timestamptz(cast(t as bigint) * 1000000)
end;

create or replace temp macro count_problem(t) as case
    when regexp_full_match(t, '[0-9]{1,{MAX_COUNT_ZEROS}}(\.0+)?') then null
    when regexp_full_match(t, '0*([0-9]{1,{MAX_COUNT_ZEROS}}|10{{MAX_COUNT_ZEROS}})(\.0+)?') then null
    when regexp_full_match(t, '[0-9]+(\.0+)?') then 'count_too_large'
    when regexp_full_match(t, '-[0-9]+(\.[0-9]+)?') then 'negative_count'
    else 'bad_count'
end;
create or replace temp macro exact_count(t) as case when count_problem(t) is null then cast(t as bigint) end;
-- Costs 2 s for 1 M lines, so it is asked for rejects and deliveries only.
create or replace temp macro without_line_end(t) as rtrim(t, e'\r\n');
-- Words are read on terminals, which control characters steer.
create or replace temp macro shown(t) as regexp_replace(
    case when length(t) > 60 then left(t, 60) || '…' else t end,
    '[\x00-\x1f\x7f-\x{9f}\x{2028}\x{2029}\x{202a}-\x{202e}\x{2066}-\x{2069}]', '�', 'g'
);
"""
MACROS = (
    MACROS.replace("{EARLIEST}", EARLIEST.isoformat())
    .replace("{LATEST}", LATEST.isoformat())
    .replace("{MAX_AMOUNT_DIGITS}", str(MAX_AMOUNT_DIGITS))
    .replace("{MAX_COUNT_ZEROS}", str(len(str(MAX_COUNT)) - 1))
)


def define_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the macros known to a connection and its time zone UTC.

    The mark of numbers is another one each time, so that no text that comes from outside can contain it.
    """
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set variable usual_keys = cast([] as varchar[][])")
    connection.execute(MACROS.replace("{MARK}", secrets.token_hex(8)))


@dataclass(frozen=True)
class Rule:
    """When a record is rejected, and how that is said. `code` and `words` are SQL expressions over the
    record's columns.
    """

    when: str
    code: str
    words: str


def json_path(name: str) -> str:
    """A JSON path to a field of the record, whatever characters its name has."""
    return f"$.{name}" if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) else '$."' + name + '"'


def first_broken(rules: Sequence[Rule]) -> str:
    """SQL: the number of the first rule that a record breaks, NULL for a good record."""
    cases = "\n        ".join(f"when {rule.when} then {number}" for number, rule in enumerate(rules))
    return f"case\n        {cases}\n    end"


def of_broken_rule(rules: Sequence[Rule], part: str) -> str:
    """SQL: `code` or `words` of the rule whose number is in the column `broken`."""
    cases = "\n        ".join(
        f"when {number} then {getattr(rule, part)}" for number, rule in enumerate(rules)
    )
    return f"case broken\n        {cases}\n    end"


# What is wrong with the text of a record, before any field is looked at.
TEXT_PROBLEMS = {
    "invalid_utf8": "the record is not UTF-8 text; write the file in UTF-8",
    "record_too_long": (
        "the record has more than 1 MiB; only the beginning is kept here. Split it or shorten its metadata"
    ),
    "invalid_json": "the line is not valid JSON; one object a line is expected",
    "not_an_object": "the line is valid JSON, but no object; one object a line is expected",
    "duplicate_field": "a field stands in the object more than once; state it once",
    "bad_quoting": "the quotes do not match; quote fields as RFC 4180 says, with inner quotes doubled",
    "too_many_fields": "the row has more fields than the header; quote fields that contain the separator",
    "too_few_fields": "the row has fewer fields than the header; write every separator",
}
RULES_OF_FORM = (
    Rule(
        "problem is not null",
        "problem",
        "case problem "
        + " ".join(f"when {literal(code)} then {literal(words)}" for code, words in TEXT_PROBLEMS.items())
        + " end",
    ),
    Rule(
        "wrong_type is not null",
        "'wrong_type'",
        """'field "' || wrong_type || '" is an object, a list or a boolean; state a text or a number'""",
    ),
)


def required(field: str, *, unless: str = "false") -> Rule:
    """The field must be stated."""
    return Rule(
        f"f_{field} is null and not ({unless})",
        "'missing_field'",
        literal(f'field "{field}" is required and is missing or empty; state it'),
    )


def at_most(field: str, characters: int) -> Rule:
    """The field's text may have so many characters."""
    return Rule(
        f"length(f_{field}) > {characters}",
        "'text_too_long'",
        f"""'field "{field}" has ' || length(f_{field}) || ' characters, {characters} are allowed; shorten it'""",
    )


def money(field: str, *, signed: str = "false") -> list[Rule]:
    """The field is a decimal below 10^18 that `DECIMAL(38,12)` holds exactly, and not below zero unless
    `signed` (SQL) holds.
    """
    words = {
        "bad_amount": "is not a decimal number",
        "amount_too_large": f"is 10^{MAX_AMOUNT_DIGITS} or more; amounts are in major units, such as dollars",
        "too_many_decimals": "has more than 12 decimals that are not 0",
    }
    cases = " ".join(f"when {literal(code)} then {literal(text)}" for code, text in words.items())
    return [
        Rule(
            f"f_{field} is not null and v_{field} is null",
            f"money_problem(f_{field})",
            f"""'field "{field}" ' || case money_problem(f_{field}) {cases} end || ': ' || shown(f_{field})""",
        ),
        Rule(
            f"v_{field} < 0 and not ({signed})",
            "'negative_amount'",
            f"""'field "{field}" is below zero: ' || shown(f_{field}) || '; only an adjustment is signed'""",
        ),
    ]


def instant(field: str) -> Rule:
    """The field is an RFC 3339 time with offset, in a plausible year."""
    return Rule(
        f"f_{field} is not null and (v_{field} is null or not is_plausible(v_{field}))",
        f"time_problem(f_{field})",
        f"""'field "{field}" ' || case time_problem(f_{field}) when 'time_without_offset' then 'has no offset; add Z or one such as +02:00'
            when 'time_out_of_range' then 'is not between 1970 and 2100' else 'is no RFC 3339 time' end || ': ' || shown(f_{field})""",
    )


def whole_number(field: str) -> Rule:
    """The field is an integer of at most `MAX_COUNT`, not below zero."""
    return Rule(
        f"f_{field} is not null and v_{field} is null",
        f"count_problem(f_{field})",
        f"""'field "{field}" ' || case count_problem(f_{field}) when 'negative_count' then 'is below zero'
            when 'count_too_large' then 'is more than {MAX_COUNT:,}; no request has so many tokens'
            else 'is no whole number' end || ': ' || shown(f_{field})""",
    )


def currency(field: str) -> Rule:
    """The field is a currency code of 3 to 5 letters."""
    return Rule(
        f"f_{field} is not null and not regexp_full_match(f_{field}, '[A-Za-z]{{3,5}}')",
        "'bad_currency'",
        f"""'field "{field}" is no code of 3 to 5 letters: ' || shown(f_{field})""",
    )


MAX_METADATA_BYTES = 64 << 10
METADATA_RULES = (
    Rule(
        "o_metadata is not null and (not starts_with(ltrim(o_metadata), '{') or json_problem(o_metadata) is"
        " not null)",
        "'bad_metadata'",
        """'field "metadata" is no JSON object: ' || shown(o_metadata)""",
    ),
    Rule(
        f"strlen(o_metadata) > {MAX_METADATA_BYTES}",
        "'metadata_too_large'",
        f"""'field "metadata" has ' || strlen(o_metadata) || ' bytes, {MAX_METADATA_BYTES} are allowed; shorten it'""",
    ),
)
