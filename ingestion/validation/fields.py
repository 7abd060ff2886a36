"""From the JSON text of a record to the texts of its fields: the step that all sources share."""

import re
from collections.abc import Mapping, Sequence

from paywall_warehouse.quoting import literal, texts_list

NOT_SCALAR = "('OBJECT', 'ARRAY', 'BOOLEAN')"


def json_path(name: str) -> str:
    """Return a JSON path to a field of the record, whichever characters its name has."""
    return f"$.{name}" if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) else '$."' + name + '"'


def stated_fields(
    texts: str,
    fields: Mapping[str, str],
    scalars: Sequence[str],
    objects: Mapping[str, str],
    known: Sequence[str],
    unwrap: str = "{}",
    names: Mapping[str, str] | None = None,
    keeps_unknown: bool = True,
) -> str:
    """Return SQL for `file_no, line, raw, problem, f_<field>…, o_<object>…, wrong_type, extra`.

    `texts` is the relation of `readers.records.record_texts`; `fields` and `objects` map names to JSON paths.
    A field is the text of its scalar, where '' counts as NULL; an object is its JSON text, in which numbers
    keep all their digits. `wrong_type` names the first of `scalars` that holds an object, an array or a
    boolean. `extra` is an object of the top-level fields that are not `known`; NULL without such fields.
    `unwrap` (SQL with placeholders for the text) extracts the record from its envelope. `names` are the names
    of fields in messages, where they differ. Without `keeps_unknown` the unknown fields are not extracted:
    instead of `extra` there is `unknown_fields`, the list of their names, NULL without any.
    """
    extracted = [f"nullif(field_texts[{place}], '') as f_{name}" for place, name in enumerate(fields, 1)]
    wrapped = [
        f"case when nullif(field_texts[{len(fields) + place}], '') is not null"
        f" then cast(json_extract(object_text, {literal(path)}) as varchar) end as marked_{name}"
        for place, (name, path) in enumerate(objects.items(), 1)
    ]
    extra = [("extra", "extra")] if keeps_unknown else []
    marked = [f"marked_{name}" for name in objects] + [f"marked_{name}" for name, _ in extra]
    unmarked = [
        f"case when is_marked then unmark_json(marked_{name}) else marked_{name} end as {result}"
        for name, result in [*((name, f"o_{name}") for name in objects), *extra]
    ]
    wrong = [
        f"when may_be_no_scalar(f_{name}) and json_type(object_text, {literal(fields[name])}) in {NOT_SCALAR}"
        f" then {literal((names or {}).get(name, name))}"
        for name in scalars
    ]
    removal = literal("{" + ", ".join(f'"{name}": null' for name in known) + "}")
    unknown = (
        f"""case when has_odd_keys and not list_has_all({texts_list(known)}, json_keys(object_text))
                then cast(json_merge_patch(object_text, {removal}) as varchar) end as marked_extra"""
        if keeps_unknown
        else f"""case when has_odd_keys then nullif(list_filter(json_keys(object_text),
                lambda key: not list_contains({texts_list(known)}, key)), []) end as unknown_fields"""
    )
    values = f"json_extract_string({{}}, {texts_list([*fields.values(), *objects.values()])})"
    # Each step computes only what the next one needs twice. The CASE expressions keep the expensive functions
    # for the few records that need them.
    return f"""
    with

    unwrapped as (
        select *, try({unwrap.format("text")}) as record from ({texts})
    ),

    parsed as (
        select *, try({values.format("record")}) as plain_texts, try(json_keys(record)) as keys
        from unwrapped
    ),

    keys_compared as (
        select * exclude (problem),
            case when problem is not null then problem when plain_texts is null then 'invalid_json' end
                as problem,
            case
                when plain_texts is null or list_contains(getvariable('usual_keys'), keys) then false
                else list_sum(cast(json_exists(record, {texts_list(map(json_path, known))}) as integer[]))
                    is distinct from len(keys)
            end as has_odd_keys
        from parsed
    ),

    scanned as (
        select *, case when problem is null and may_be_odd then is_odd(text) else false end as looks_odd
        from keys_compared
    ),

    syntax_checked as (
        select * exclude (problem),
            case
                when problem is not null then problem
                when looks_odd and is_lax(text) then 'invalid_json'
                when starts_with(text, '{{') then null
                when not starts_with(ltrim(text), '{{') then 'not_an_object'
            end as problem
        from scanned
    ),

    long_numbers_found as (
        select file_no, line, raw, text, record, plain_texts, keys, has_odd_keys, problem,
            case when problem is null and looks_odd then has_long_number(text) else false end as is_marked
        from syntax_checked
    ),

    long_numbers_marked as (
        select *,
            case when is_marked then {unwrap.format("mark_numbers(text)")}
                when problem is null then record end as object_text
        from long_numbers_found
    ),

    texts_extracted as (
        select file_no, line, raw, is_marked, has_odd_keys, object_text,
            case when has_odd_keys and len(keys) <> len(list_distinct(keys)) then 'duplicate_field'
                else problem end as problem,
            case when is_marked
                    then list_transform({values.format("object_text")}, lambda one: unmark(one))
                when problem is null then plain_texts end as field_texts
        from long_numbers_marked
    ),

    fields_extracted as (
        select *, {_lines([*extracted, *wrapped, unknown])}
        from texts_extracted
    )

    select * exclude ({", ".join(["field_texts", "is_marked", "has_odd_keys", "object_text", *marked])}),
        {_lines([*unmarked, f"case {' '.join(wrong)} end as wrong_type" if wrong else "null as wrong_type"])}
    from fields_extracted"""


def _lines(parts: Sequence[str]) -> str:
    return ",\n        ".join(parts)


def with_extra(metadata: str, extra: str) -> str:
    """Return SQL for a metadata text with the unknown fields under `extra`."""
    only_extra = f"""'{{"extra":' || {extra} || '}}'"""
    merged = f"cast(json_merge_patch({metadata}, {only_extra}) as varchar)"
    without_brace = f"left(rtrim({metadata}), length(rtrim({metadata})) - 1)"
    return f"""case
        when {extra} is null then {metadata}
        when {metadata} is null or regexp_full_match({metadata}, '\\s*\\{{\\s*\\}}\\s*') then {only_extra}
        when json_type({metadata}, '$.extra') = 'OBJECT' then {merged}
        when json_exists({metadata}, '$.extra') then {without_brace} || ',"extra_fields":' || {extra} || '}}'
        else {without_brace} || ',"extra":' || {extra} || '}}'
    end"""
