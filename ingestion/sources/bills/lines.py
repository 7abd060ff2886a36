"""Bill lines: what the formats state, in the columns of the lake's table `bill_lines`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ingestion.readers.layout import Layout
from ingestion.sources.bills.flatten import MADE as FLAT
from ingestion.sources.bills.records import (
    amount_rule,
    choice_rule,
    currency_rule,
    period_rules,
    rules_of_texts,
    stated,
    stated_rule,
    time_rules,
    utc_day,
    validated,
)
from ingestion.validation import reject_codes
from ingestion.validation.rules import Rule
from paywall_warehouse.quoting import literal

MADE: Final = ("is_filtered", "has_rounded_amount")
"""Columns of staged bill lines that the lake does not keep."""

CATEGORIES: Final = ("usage", "tax", "credit", "purchase", "adjustment")
TOKEN_UNITS: Final = ("tokens", "1000_tokens")


@dataclass(frozen=True)
class Stated:
    """A value that a format states: SQL over the fields of a record, and the column for messages."""

    sql: str
    column: str


@dataclass(frozen=True)
class LineSql:
    """What one format states about a line. Each attribute is SQL over `f_<field>` and `o_<field>`, or over
    `currency_code`, `unit_name` and `v_<start, end>`, which are made of the attributes.
    """

    provider: Stated
    start: Stated
    """The text of the first instant of the period."""
    end: Stated | None
    """None for formats that state UTC days."""
    start_value: str
    end_value: str
    amount: Stated
    """The text of the amount, in major units."""
    currency: Stated
    quantity: Stated
    unit: str
    model: str
    kind: str
    project: str = "null::varchar"
    key: str = "null::varchar"
    invoice_id: str = "null::varchar"
    billing_start: Stated | None = None
    category: Stated = Stated("'usage'", "")
    is_correction: str = "false"
    is_empty: str = "false"
    """Whether the line says that nothing was billed on its day."""
    is_filtered: str = "false"
    is_rounded: str = "false"
    covers_buckets: str = "false"


def kind_of_words(text: str) -> str:
    """Return SQL for the kind of tokens that the words of a text (SQL) name; NULL without one, or with two
    that exclude each other.
    """
    words = f"regexp_replace(lower({text}), '[^a-z0-9]+', ' ', 'g')"
    cached = f"regexp_matches({words}, '\\bcach(e|ed|ing)\\b')"
    written = f"regexp_matches({words}, '\\b(write|writes|written|creation)\\b')"
    is_output = f"regexp_matches({words}, '\\b(output|completion|completions)\\b')"
    is_input = f"regexp_matches({words}, '\\b(input|prompt)\\b')"
    return f"""case
        when {cached} and {written} then 'cache_write'
        when {cached} then 'cached_input'
        when {is_output} and not {is_input} then 'output'
        when {is_input} and not {is_output} then 'input'
    end"""


def utc_time(text: str) -> str:
    """Return SQL for the instant of a text (SQL): in Unix seconds, with an offset, or in UTC without one.

    Some exports leave out the seconds of a time.
    """
    whole = f"regexp_replace({text}, '^([0-9-]{{10}}[Tt ][0-9]{{2}}:[0-9]{{2}})([Zz]?)$', '\\1:00\\2')"
    return (
        f"case when regexp_full_match({text}, '[0-9]{{9,10}}(\\.[0-9]*)?') then epoch_time({text}, 's')"
        f" else zoned_time({whole}, 'UTC') end"
    )


def lines_sql(
    name: str,
    line: LineSql,
    layout: Layout,
    texts: str,
    *,
    hidden: Sequence[str] = (),
    made: Sequence[tuple[str, str]] = (),
) -> str:
    """Return SQL for the lines of `texts`, typed and validated, with the columns of `MADE`.

    `hidden` are columns that are read, but not shown in rejects. `made` are further columns of staged lines.
    """
    parts = {
        "s_start": line.start.sql,
        "s_end": line.end.sql if line.end else "null::varchar",
        "v_start": line.start_value,
        "v_end": line.end_value,
        "s_amount": line.amount.sql,
        "s_quantity": line.quantity.sql,
        "currency_code": line.currency.sql,
        "unit_name": f"lower({line.unit})",
        "provider_name": f"nullif(lower(trim({line.provider.sql})), '')",
        "category": f"lower({line.category.sql})",
        "is_empty": line.is_empty,
        "is_filtered": f"problem is null and coalesce({line.is_filtered}, false)",
        "s_billing_start": line.billing_start.sql if line.billing_start else "null::varchar",
    }
    values = {
        "p_amount": "float_text(s_amount)",
        "p_quantity": "float_text(s_quantity)",
        "v_billing_start": utc_time("s_billing_start"),
        "token_kind": line.kind,
    }
    columns = {
        "position": "coalesce(try_cast(f_position as bigint), 1)",
        "bucket_no": "coalesce(try_cast(f_bucket_no as bigint), 0)",
        "format": literal(name),
        "account": "account",
        "provider_as_billed": "provider_name",
        "period_start": "v_start",
        "period_end": "v_end",
        "billing_period_start": utc_day("v_billing_start"),
        "is_correction": line.is_correction,
        "charge_category": "category",
        "model_as_billed": line.model,
        "token_kind": "token_kind",
        "quantity": "float_money(p_quantity)",
        "unit": "unit_name",
        "billed_amount": "float_money(p_amount)",
        "currency": "lower(currency_code)",
        "project": line.project,
        "key": line.key,
        "invoice_id": line.invoice_id,
        "is_rounded": line.is_rounded,
        "covers_buckets": line.covers_buckets,
        "is_filtered": "is_filtered",
        "has_rounded_amount": "coalesce(is_rounded(p_amount), false)",
        **dict(made),
    }
    selects = [", ".join(f"{sql} as {name}" for name, sql in layer.items()) for layer in (parts, values)]
    records = stated(texts, layout)
    for select in selects:
        records = f"select *, {select} from ({records})"
    kept = [column for column in layout.columns if column not in (*layout.json, *hidden, *FLAT)]
    return validated(records, columns, _rules(line, kept), kept)


def _rules(line: LineSql, kept: Sequence[str]) -> list[Rule]:
    form, *rules = rules_of_texts(kept)
    billed = "not is_empty"
    rules += [
        stated_rule("provider_name is null", line.provider.column),
        stated_rule("s_start is null", line.start.column),
        *time_rules("s_start", "v_start", line.start.column),
    ]
    if line.end:
        rules += [
            stated_rule("s_end is null", line.end.column),
            *time_rules("s_end", "v_end", line.end.column),
            *period_rules("v_start", "v_end", (line.start.column, line.end.column)),
        ]
    if line.billing_start:
        rules += time_rules("s_billing_start", "v_billing_start", line.billing_start.column)
    rules += [
        stated_rule(f"s_amount is null and {billed}", line.amount.column),
        amount_rule("s_amount", "p_amount", line.amount.column),
        amount_rule("s_quantity", "p_quantity", line.quantity.column),
        stated_rule(f"currency_code is null and {billed}", line.currency.column),
        currency_rule("currency_code", line.currency.column),
        stated_rule("category is null", line.category.column),
        choice_rule("category", line.category.column, CATEGORIES, reject_codes.UNKNOWN_CATEGORY),
    ]
    return [form, *(Rule(f"not is_filtered and ({one.when})", one.code, one.message) for one in rules)]
