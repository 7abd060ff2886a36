"""From a record's JSON text to its fields as texts: the step that ledger entries, webhook events and provider
rates share.
"""

from collections.abc import Mapping, Sequence

from ingestion.validation.macros import json_path
from paywall_warehouse.quoting import literal, texts_list

NOT_SCALAR = "('OBJECT', 'ARRAY', 'BOOLEAN')"


def stated_fields(
    texts: str,
    fields: Mapping[str, str],
    scalars: Sequence[str],
    objects: Mapping[str, str],
    known: Sequence[str],
    unwrap: str = "{}",
) -> str:
    """SQL for `file_no, line, raw, problem, f_<field>…, o_<object>…, wrong_type, extra`.

    `texts` is the relation of `sources.record_texts`; `fields` and `objects` map names to JSON paths. A field
    is the text of its scalar, '' counting as NULL; an object is its JSON text, numbers with all their digits.
    `wrong_type` names the first of `scalars` that holds an object, an array or a boolean. `extra` is an
    object of the top-level fields that are not `known`, NULL without such. `unwrap` (SQL with places for the
    text) picks the record out of its envelope.
    """
    picked = [f"nullif(said[{place}], '') as f_{name}" for place, name in enumerate(fields, 1)]
    wrapped = [
        f"case when nullif(said[{len(fields) + place}], '') is not null"
        f" then cast(json_extract(object_text, {literal(path)}) as varchar) end as marked_{name}"
        for place, (name, path) in enumerate(objects.items(), 1)
    ]
    marked = [f"marked_{name}" for name in objects] + ["marked_extra"]
    unmarked = [
        f"case when is_marked then unmark_json(marked_{name}) else marked_{name} end as {result}"
        for name, result in [*((name, f"o_{name}") for name in objects), ("extra", "extra")]
    ]
    wrong = [
        f"when may_be_no_scalar(f_{name}) and json_type(object_text, {literal(fields[name])}) in {NOT_SCALAR}"
        f" then {literal(name)}"
        for name in scalars
    ]
    removal = literal("{" + ", ".join(f'"{name}": null' for name in known) + "}")
    values = f"json_extract_string({{}}, {texts_list([*fields.values(), *objects.values()])})"
    # Each step computes only what the next one needs twice; a CASE keeps the costly looks for the few records
    # that need them.
    return f"""
    select * exclude (said, is_marked, has_odd_keys, object_text, {", ".join(marked)}), {_lines(unmarked)},
        case {" ".join(wrong)} end as wrong_type
    from (
        select *, {_lines(picked + wrapped)},
            case when has_odd_keys and not list_has_all({texts_list(known)}, json_keys(object_text))
                then cast(json_merge_patch(object_text, {removal}) as varchar) end as marked_extra
        from (
            select file_no, line, raw, is_marked, has_odd_keys, object_text,
                case when has_odd_keys and len(keys) <> len(list_distinct(keys)) then 'duplicate_field'
                    else problem end as problem,
                case when is_marked then list_transform({values.format("object_text")},
                    lambda one: unmark(one))
                    when problem is null then plainly_said end as said
            from (
                select *, case when is_marked then {unwrap.format("mark_numbers(text)")}
                    when problem is null then record end as object_text
                from (
                    select file_no, line, raw, text, record, plainly_said, keys, has_odd_keys, problem,
                        case when problem is null and looks_odd then has_long_number(text) else false end
                            as is_marked
                    from (
                        select * exclude (problem), case
                                when problem is not null then problem
                                when looks_odd and is_lax(text) then 'invalid_json'
                                when starts_with(text, '{{') then null
                                when not starts_with(ltrim(text), '{{') then 'not_an_object'
                            end as problem
                        from (
                            select *, case when problem is null and may_be_odd then is_odd(text)
                                else false end as looks_odd
                            from (
                                select * exclude (problem),
                                    case when problem is not null then problem when plainly_said is null
                                        then 'invalid_json' end as problem,
                                    case
                                        when plainly_said is null or list_contains(getvariable('usual_keys'),
                                            keys) then false
                                        else list_sum(cast(json_exists(record,
                                            {texts_list(map(json_path, known))}) as integer[]))
                                            is distinct from len(keys)
                                    end as has_odd_keys
                                from (
                                    select *, try({values.format("record")}) as plainly_said,
                                        try(json_keys(record)) as keys
                                    from (select *, try({unwrap.format("text")}) as record from ({texts}))
                                )
                            )
                        )
                    )
                )
            )
        )
    )"""


def _lines(parts: Sequence[str]) -> str:
    return ",\n        ".join(parts)


def with_extra(metadata: str, extra: str) -> str:
    """SQL: a metadata text with the unknown fields under `extra`."""
    only_extra = f"""'{{"extra":' || {extra} || '}}'"""
    return f"""case
        when {extra} is null then {metadata}
        when {metadata} is null or regexp_full_match({metadata}, '\\s*\\{{\\s*\\}}\\s*') then {only_extra}
        when json_type({metadata}, '$.extra') = 'OBJECT' then cast(json_merge_patch({metadata}, {only_extra}) as varchar)
        when json_exists({metadata}, '$.extra') then left(rtrim({metadata}), length(rtrim({metadata})) - 1)
            || ',"extra_fields":' || {extra} || '}}'
        else left(rtrim({metadata}), length(rtrim({metadata})) - 1) || ',"extra":' || {extra} || '}}'
    end"""
