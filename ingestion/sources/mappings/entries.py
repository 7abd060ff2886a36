"""The records of a mapped source as ledger entries, in SQL: the readers and rules are those of `ledger/`."""

from dataclasses import replace
from typing import Final

from ingestion.sources.ledger import FIELDS, RULES, SCALARS, TIMES, entries_sql
from ingestion.sources.mappings.mapping import MappingFile
from ingestion.validation import reject_codes
from ingestion.validation.fields import json_path, stated_fields
from ingestion.validation.rules import Rule
from paywall_warehouse.quoting import literal

MADE: Final = ("is_filtered", "has_rounded_amount", "unknown_fields", "user_of")
"""Columns of staged records that only mapped sources have."""


def records_sql(mapping: MappingFile, texts: str) -> str:
    """Return SQL for every record of `texts` as a ledger entry, with the columns of `MADE`.

    A record that breaks a rule has `reject_code` and `reject_words`; its `raw` has the values that the
    mapping keeps, and nothing else of the record. A filtered record breaks no rule.
    """
    columns = mapping.columns
    stated = stated_fields(
        texts,
        fields={name: json_path(column) for column, name in columns.scalars.items()},
        scalars=[
            name
            for column, name in columns.scalars.items()
            if column in columns.stated and column not in columns.objects
        ],
        objects={name: json_path(column) for column, name in columns.objects.items()},
        known=mapping.layout.columns,
        names={name: column for column, name in columns.scalars.items()},
        unwrap=_without_envelope(mapping.layout.envelope),
        keeps_unknown=False,
    )
    typed = {name: f"t_{name}" for name, value in mapping.fields.items() if value.typed is not None}
    rounded = [value.is_rounded for value in mapping.fields.values() if value.is_rounded != "false"]
    parts = [
        *(f"{_field(mapping, name)} as f_{name}" for name in SCALARS),
        *(f"{value.typed} as t_{name}" for name, value in mapping.fields.items() if value.typed is not None),
        f"{_metadata(mapping)} as o_metadata",
        "null as extra",
        f"(problem is null and not ({mapping.rows})) as is_filtered",
        f"({' or '.join(rounded) or 'false'}) as has_rounded_amount",
        f"{mapping.user_of or 'null::varchar'} as user_of",
    ]
    texts = "".join(f", json_text(o_{name}) as j_{name}" for name in columns.objects.values())
    # A column may hold a text or an object, such as an expanded one of Stripe's. Only a text is its text.
    either = ", ".join(
        f"case when left(ltrim(o_{columns.objects[column]}), 1) not in ('{{', '[')"
        f" then f_{name} end as f_{name}"
        for column, name in columns.scalars.items()
        if column in columns.objects
    )
    with_steps = f"select *{f' replace ({either})' if either else ''}{texts} from ({stated})"
    for layer in columns.layers():
        with_steps = f"select *, {', '.join(layer)} from ({with_steps})"
    mapped = f"select *, {', '.join(parts)} from ({with_steps})"
    return entries_sql(
        mapped,
        rules=_rules(mapping),
        typed=typed,
        source=literal(mapping.name),
        more=MADE,
        raw=f"case when broken is not null then {_kept(mapping)} end",
    )


def _without_envelope(envelope: str | None) -> str:
    """Return SQL, with placeholders for the text of a record, for the record in its envelope."""
    if envelope is None:
        return "{0}"
    path = literal(json_path(envelope))
    return (
        f"case when json_type({{0}}, {path}) = 'OBJECT'"
        f" then cast(json_extract({{0}}, {path}) as varchar) else {{0}} end"
    )


def _field(mapping: MappingFile, name: str) -> str:
    """Return SQL for the text of a field of the entry."""
    if name in mapping.fields:
        return f"nullif({mapping.fields[name].text}, '')"
    return "null::varchar"


def _metadata(mapping: MappingFile) -> str:
    """Return SQL for the metadata object: the keys that have a value."""
    if not mapping.metadata:
        return "null::varchar"
    pairs = ", ".join(f"{literal(key)}, {value.text}" for key, value in mapping.metadata.items())
    return f"nullif(cast(json_merge_patch('{{}}', json_object({pairs})) as varchar), '{{}}')"


def _kept(mapping: MappingFile) -> str:
    """Return SQL for an object of what the mapping keeps of a record: the columns and parts by name."""
    columns = mapping.columns
    pairs = [
        *(
            # An object or a list in the place of a text may hold anything.
            f"{literal(column)}, case when left(ltrim(f_{name}), 1) not in ('{{', '[') then f_{name} end"
            for column, name in columns.scalars.items()
            if column in columns.stated
        ),
        *(f"{literal(f'{column}.{path}')}, {sql}" for (column, path), sql in columns.parts.items()),
    ]
    return f"nullif(cast(json_merge_patch('{{}}', json_object({', '.join(pairs)})) as varchar), '{{}}')"


def _rules(mapping: MappingFile) -> list[Rule]:
    """Return the rules of a ledger entry, with messages that name the columns of the file."""
    rules = [
        _of_zoned_time(rule, mapping)
        for rule in RULES
        if not (mapping.states_cost_only and _is_missing(rule, "amount"))
    ]
    if mapping.user_of is not None:
        # Only a record that names another entry can wait for the user of that one.
        rules = [
            replace(rule, when=f"{rule.when} and user_of is null") if _is_missing(rule, "user") else rule
            for rule in rules
        ]
    broken_json = [
        Rule(
            f"j_{name} is not null and not is_json(j_{name})",
            literal(reject_codes.BAD_JSON),
            literal(f'column "{column}" is not JSON; export it again, or correct the text'),
        )
        for column, name in mapping.columns.objects.items()
        if column not in mapping.columns.scalars
    ]
    place = next(number for number, rule in enumerate(rules) if rule.code == "'missing_field'")
    rules[place:place] = broken_json
    return [
        replace(
            rule, when=f"not is_filtered and ({rule.when})", message=_naming_columns(mapping, rule.message)
        )
        if number >= _FORM_RULES
        else rule
        for number, rule in enumerate(rules)
    ]


_FORM_RULES: Final = 1
"""The first rule is about the text of the record, and holds for filtered records, too."""


def _is_missing(rule: Rule, field: str) -> bool:
    return rule.code == "'missing_field'" and rule.when.startswith(f"f_{field} is null")


def _of_zoned_time(rule: Rule, mapping: MappingFile) -> Rule:
    """Return the rule of an instant for a field whose text needs no offset; any other rule as it is."""
    for name in TIMES:
        if (
            rule.code == f"time_problem(f_{name})"
            and name in mapping.fields
            and mapping.fields[name].typed is not None
        ):
            return replace(
                rule,
                code=f"case when v_{name} is null then 'bad_time' else 'time_out_of_range' end",
                message=f"""'field "{name}" ' || case when v_{name} is null
                    then 'is not a time that the mapping can read' else 'is not between 1970 and 2100' end
                    || ': ' || shown(f_{name})""",
            )
    return rule


def _naming_columns(mapping: MappingFile, message: str) -> str:
    """Return SQL for a message in which each field of the entry is followed by its columns in the file."""
    for name in FIELDS:
        columns = sorted(mapping.fields[name].columns) if name in mapping.fields else []
        if columns:
            shown = " and ".join(f'"{column}"' for column in columns).replace("'", "''")
            message = message.replace(f'field "{name}" ', f'field "{name}" (from column {shown}) ')
    return message
