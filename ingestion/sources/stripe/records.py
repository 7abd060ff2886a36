"""Rows of Stripe's reports: their rules, and the columns that the lake keeps. The same SQL serves all
reports.
"""

from ingestion.sources.ledger import allowed, canonical
from ingestion.sources.stripe.reports import UNIFIED_PAYMENTS, Column, StripeReport
from ingestion.validation import reject_codes
from ingestion.validation.fields import json_path, stated_fields
from ingestion.validation.rules import (
    RULES_OF_FORM,
    Rule,
    at_most,
    currency,
    first_broken,
    money,
    of_broken_rule,
    required,
)
from paywall_warehouse.quoting import literal

ACCOUNT_COLUMNS = ("account_id", "livemode")
RULES_OF_PAYMENTS = (
    Rule(
        "v_refunded_amount > v_amount",
        "'amount_too_large'",
        """'field "Amount Refunded" is larger than the amount: ' || shown(f_refunded_amount)""",
    ),
    # Both the rows and the folder of an export may say that it is test data.
    Rule(
        "v_mode <> case when livemode then 'live' else 'test' end",
        "'wrong_mode'",
        """'field "Mode" is ' || shown(f_mode) || ', and the file is '
            || case when livemode then 'not in a folder called test; move it into one'
                else 'in a folder called test; move it out of it' end""",
    ),
)
VALUES = {
    "money": "exact_money(f_{0})",
    "time": "stripe_time(f_{0}, {1})",
    "day": "try_cast(left(f_{0}, 10) as date)",
}


def rules_of(stripe_report: StripeReport) -> tuple[Rule, ...]:
    """Return the rules of a report's rows, in the order in which they are tested."""
    return (
        *RULES_OF_FORM,
        *(zone_is_known(column) for column in stripe_report.columns if column.decides),
        *(required(column.name) for column in stripe_report.columns if column.required),
        *(at_most(column.name, 255) for column in stripe_report.columns if column.kind in ("text", "word")),
        *(rule for column in stripe_report.columns for rule in _rules_of_kind(column)),
        *(RULES_OF_PAYMENTS if stripe_report is UNIFIED_PAYMENTS else ()),
    )


def zone_is_known(column: Column) -> Rule:
    """Return the rule by which a load refuses the whole file, because it holds for all of its rows alike."""
    return Rule(
        _is_in_unknown_zone(column),
        literal(reject_codes.UNKNOWN_TIME_ZONE),
        f"""'field "{column.stated_as[0]}" is a local time of an unknown zone: ' || shown(f_{column.name})""",
    )


def _is_in_unknown_zone(column: Column) -> str:
    """Return SQL for whether the time is a local time of an unknown zone."""
    return f"({_zone(column)}) is null and local_time(f_{column.name}) is not null"


def _rules_of_kind(column: Column) -> list[Rule]:
    if column.kind == "money":
        return money(column.name, signed=str(column.is_signed).lower())
    if column.kind == "currency":
        return [currency(column.name)]
    if column.words:
        return [
            Rule(
                f"f_{column.name} is not null and v_{column.name} is null",
                "'unknown_status'",
                f"""'field "{column.stated_as[0]}" is ' || shown(f_{column.name})
                    || {literal(f"; known are {allowed(column.words)}")}""",
            )
        ]
    if column.kind in ("time", "day"):
        fault = f"v_{column.name} is null"
        if column.kind == "time":
            # A time that decides nothing may be unknown: it is NULL if its zone is unknown.
            fault = (
                f"v_{column.name} is null and not ({_is_in_unknown_zone(column)}) or not"
                f" is_plausible(v_{column.name})"
            )
        message = (
            "is not a time such as 2026-10-01 09:30:00 between 1970 and 2100"
            if column.kind == "time"
            else "is not a date such as 2026-10-01"
        )
        return [
            Rule(
                f"f_{column.name} is not null and ({fault})",
                "'bad_time'" if column.kind == "time" else "'bad_date'",
                f"""'field "{column.stated_as[0]}" {message}: ' || shown(f_{column.name})""",
            )
        ]
    return []


def records_sql(stripe_report: StripeReport, texts: str) -> str:
    """Return SQL for every row of `texts`, typed, with the facts of its file (table `file_facts`).

    A row that breaks a rule has `reject_code`, `reject_words` and `raw`; otherwise all three are NULL. `raw`
    has only the columns that the lake may keep, because the row itself may contain an e-mail address.
    """
    rules = rules_of(stripe_report)
    alternatives = [
        (column, place, name)
        for column in stripe_report.columns
        for place, name in enumerate(column.stated_as)
    ]
    paths = {column.place(place): json_path(name) for column, place, name in alternatives}
    expanded = {
        column.expanded_place(place): f"{json_path(name)}.id"
        for column, place, name in alternatives
        if column.may_be_expanded
    }
    stated = stated_fields(
        texts,
        fields=paths | expanded,
        scalars=[column.place(place) for column, place, _ in alternatives if not column.may_be_expanded],
        objects={},
        known=[name for _, _, name in alternatives],
    )
    chosen = ",\n        ".join(
        f"{_first_stated(column)} as f_{column.name}" for column in stripe_report.columns
    )
    values = ",\n        ".join(
        f"{typed} as v_{column.name}" for column in stripe_report.columns if (typed := _typed(column))
    )
    shown = ", ".join(f"{literal(column.name)}, f_{column.name}" for column in stripe_report.columns)
    return f"""
    select
        file_no, line, {", ".join(f"{_value(column)} as {column.name}" for column in stripe_report.columns)},
        {", ".join(ACCOUNT_COLUMNS)},
        {of_broken_rule(rules, "code")} as reject_code,
        {of_broken_rule(rules, "message")} as reject_words,
        case when broken is not null and problem is null
            then cast(json_merge_patch('{{}}', json_object({shown})) as varchar) end as raw
    from (
        select *, {first_broken(rules)} as broken
        from (
            select *, {values}
            from ({
        _with_decimal_points(
            stripe_report,
            f'''
                select file_no, line, problem, wrong_type, {chosen}, {_stated_as_utc(stripe_report)},
                    {", ".join(ACCOUNT_COLUMNS)}, timezone
                from ({stated}) left join file_facts using (file_no)
            ''',
        )
    })
        )
    )"""


def _first_stated(column: Column) -> str:
    fields = [f"f_{column.place(place)}" for place in range(len(column.stated_as))]
    if column.may_be_expanded:
        # The text of an object or a list is never an id, and may hold personal data.
        fields = [
            f"case when may_be_no_scalar({field}) then f_{column.expanded_place(place)} else {field} end"
            for place, field in enumerate(fields)
        ]
    return f"coalesce({', '.join(fields)})"


def _stated_as_utc(stripe_report: StripeReport) -> str:
    """Return SQL for whether each time is from a column that Stripe writes in UTC."""
    flags = [
        _is_utc(column) for column in stripe_report.columns if column.kind == "time" and column.utc_names
    ]
    return ", ".join(flags or ["true as is_utc"])


def _is_utc(column: Column) -> str:
    places = [
        (f"f_{column.place(place)}", str(name in column.utc_names).lower())
        for place, name in enumerate(column.stated_as)
    ]
    return (
        f"case {' '.join(f'when {field} is not null then {is_utc}' for field, is_utc in places)} else false"
        f" end as is_utc_{column.name}"
    )


def _zone(column: Column) -> str:
    return f"case when is_utc_{column.name} then 'UTC' else timezone end" if column.utc_names else "timezone"


def _typed(column: Column) -> str | None:
    """Return SQL for the value of a column; None for a text that is kept as it is stated."""
    if column.words:
        return canonical(f"replace(f_{column.name}, ' ', '_')", column.words)
    return VALUES[column.kind].format(column.name, _zone(column)) if column.kind in VALUES else None


def _with_decimal_points(stripe_report: StripeReport, texts: str) -> str:
    """Return SQL for the same rows, in which the amounts of a file with decimal commas have points.

    A file is written in one way. If some amounts have a comma and others a point, a comma may separate
    thousands: the amounts with one are left as they are, and are rejected.
    """
    if not stripe_report.has_local_numbers:
        return texts
    amounts = [f"f_{column.name}" for column in stripe_report.columns if column.kind == "money"]
    with_comma = " or ".join(f"has_decimal_comma({amount})" for amount in amounts)
    with_point = " or ".join(f"has_decimal_point({amount})" for amount in amounts)
    converted = ", ".join(
        f"case when has_commas then with_decimal_point({amount}) else {amount} end as {amount}"
        for amount in amounts
    )
    return f"""
        select * exclude (has_commas) replace ({converted})
        from (
            select *, coalesce(bool_or({with_comma}) over (partition by file_no), false)
                and not coalesce(bool_or({with_point}) over (partition by file_no), false) as has_commas
            from ({texts})
        )"""


def _value(column: Column) -> str:
    if column.kind in VALUES or column.words:
        return f"v_{column.name}"
    return f"lower(f_{column.name})" if column.kind in ("word", "currency") else f"f_{column.name}"
