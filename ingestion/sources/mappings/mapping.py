"""A mapping: one YAML file that says which rows of a system's export become ledger entries, and how.

docs/mappings.md documents the file, `mapping.schema.json` describes it for editors.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Mapping as Dict, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import yaml

from ingestion.postgres_pull.block import PostgresPull
from ingestion.readers.layout import PAGE_LISTS, SEPARATORS, Layout
from ingestion.sources.ledger import COUNTS, MONEY, SCALARS, TIMES
from ingestion.sources.mappings.expressions import Columns, Compiler, MappingError, Value, shown
from paywall_warehouse.strict_yaml import StrictLoader

SHIPPED: Final = "shipped"
# Names of an API, without characters that JSON may escape.
JSON_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
# Raise this if the same mapping becomes other entries, so that what it made is made again.
VERSION: Final = 1
MAX_BYTES: Final = 1 << 20
FIELDS: Final = SCALARS
REQUIRED_FIELDS: Final = ("id", "timestamp", "type", "paywall")
KEYS: Final = (
    "title",
    "about",
    "csv",
    "json",
    "required",
    "rows",
    "fields",
    "user_of",
    "metadata",
    "drop",
    "pull",
)
SPANS: Final = {"minutes": 1 / 1440, "hours": 1 / 24, "days": 1.0}


@dataclass(frozen=True)
class MappingFile:
    """A mapping that was read and checked."""

    name: str
    """The name of the folder in the landing area, and the `source` of its entries."""
    title: str
    about: str
    origin: str
    """Where the mapping is from: `shipped`, or the path of a file in the home."""
    text: str
    """The YAML text."""
    layout: Layout
    columns: Columns
    fields: Dict[str, Value]
    rows: str
    """SQL for whether a record becomes an entry; the others are filtered."""
    user_of: str | None
    """SQL for the id of the entry whose user a record without a user takes."""
    metadata: Dict[str, Value]
    dropped: frozenset[str]
    """The columns that are known and deliberately not kept."""
    pull: PostgresPull | None
    digest: str
    """Identifies what the mapping makes of a file; comments and descriptions do not change it."""

    @property
    def is_shipped(self) -> bool:
        """Return whether the mapping is in the package, not in the home."""
        return self.origin == SHIPPED

    @property
    def states_cost_only(self) -> bool:
        """Return whether the amounts of its charges come from `prices/markups.csv`."""
        return "amount" not in self.fields

    @property
    def known_columns(self) -> frozenset[str]:
        """Return the columns that the mapping reads or drops. Any other is listed as unmapped."""
        return self.dropped | frozenset(self.layout.columns)


def read_mapping(name: str, text: str, origin: str) -> MappingFile:
    """Return the mapping of a YAML text. Raises `MappingError`, which names `origin` and the place in it."""
    try:
        return _read(name, text, origin)
    except MappingError as error:
        raise MappingError(f"{origin}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise MappingError(f"{origin}:{place} is not YAML: {problem}") from None
    except RecursionError:
        raise MappingError(f"{origin}: it is nested too deeply") from None


def _read(name: str, text: str, origin: str) -> MappingFile:
    if not NAME.fullmatch(name):
        raise MappingError(
            f"{shown(name)} cannot be the name of a mapping: use a to z, digits and _, such as acme_usage"
        )
    if len(text.encode()) > MAX_BYTES:
        raise MappingError("it has more than 1 MiB")
    content = yaml.load(text, StrictLoader)  # noqa: S506  a safe loader
    if not isinstance(content, dict):
        raise MappingError("it has no keys; docs/mappings.md has an example")
    _refuse_unknown(content, KEYS, "key")
    compiler = Compiler()
    fields = _fields(compiler, content.get("fields"))
    rows = "true"
    if "rows" in content:
        with compiler.at("rows"):
            rows = compiler.condition(content["rows"])
    metadata = _metadata(compiler, content.get("metadata"))
    user_of = None
    if "user_of" in content:
        with compiler.at("user_of"):
            user_of = compiler.value(content["user_of"]).text
    columns = compiler.columns
    csv = _csv(content.get("csv", {}))
    names = _json(content.get("json", {}))
    dropped = frozenset(_names(content["drop"], "drop") if "drop" in content else ())
    if both := sorted(dropped & set(columns.all)):
        raise MappingError(f"drop: {shown(both[0])} is also read; remove it from one of them")
    layout = Layout(
        columns=columns.all,
        required=_required(content.get("required"), fields, columns),
        money=_exact_columns(fields, columns),
        json=tuple(columns.objects),
        separator=csv["separator"],
        comma_decimals=_number_columns(fields) if csv["decimal_comma"] else (),
        keeps_unknown=False,
        is_mapped=True,
        page_lists=(*PAGE_LISTS, *([names["list"]] if "list" in names else [])),
        envelope=names.get("object"),
    )
    meaning = {key: value for key, value in content.items() if key not in ("title", "about", "pull")}
    return MappingFile(
        name=name,
        title=_text(content, "title", name),
        about=_text(content, "about", ""),
        origin=origin,
        text=text,
        layout=layout,
        columns=columns,
        fields=fields,
        rows=rows,
        user_of=user_of,
        metadata=metadata,
        dropped=dropped,
        pull=_pull(content["pull"], layout.columns) if "pull" in content else None,
        digest=hashlib.sha256(json.dumps([VERSION, name, meaning], sort_keys=True).encode()).hexdigest()[:16],
    )


def _fields(compiler: Compiler, node: object) -> dict[str, Value]:
    if not isinstance(node, dict):
        raise MappingError("fields: is missing; it says what the fields of an entry are made of")
    _refuse_unknown(node, FIELDS, "field of a ledger entry", "fields: ")
    fields = {}
    for name, expression in node.items():
        with compiler.at("fields"), compiler.at(name):
            value = compiler.value(expression)
            if value.is_rounded != "false" and name not in MONEY:
                raise compiler.fault("`float` is for amounts only")
            if value.typed is not None and value.is_rounded == "false" and name not in TIMES:
                raise compiler.fault("`time` and `epoch` are for timestamp and updated_at only")
            if value.is_rounded != "false" and name in TIMES:
                raise compiler.fault("`float` is for amounts only")
        fields[name] = value
    if missing := [name for name in REQUIRED_FIELDS if name not in fields]:
        raise MappingError(f"fields: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    if "amount" not in fields and "provider_cost" not in fields:
        raise MappingError(
            "fields: state `amount`, or `provider_cost` if prices/markups.csv prices the charges"
        )
    return fields


def _metadata(compiler: Compiler, node: object) -> dict[str, Value]:
    if node is None:
        return {}
    if not isinstance(node, dict):
        raise MappingError("metadata: is not a list of keys with expressions, such as {team: team_id}")
    kept = {}
    for key, expression in node.items():
        with compiler.at("metadata"):
            if not isinstance(key, str) or not key or "\x00" in key:
                raise compiler.fault(f"{shown(key)} is not a key; put it into quotes")
            with compiler.at(key):
                kept[key] = compiler.value(expression)
    return kept


def _csv(node: object) -> dict[str, Any]:
    if not isinstance(node, dict):
        raise MappingError("csv: has the keys separator and decimal_comma")
    _refuse_unknown(node, ("separator", "decimal_comma"), "key", "csv: ")
    separator, comma = node.get("separator", ","), node.get("decimal_comma", False)
    if separator not in SEPARATORS:
        raise MappingError(f'csv.separator: {shown(separator)} is none of , ; | and a tab ("\\t")')
    if not isinstance(comma, bool):
        raise MappingError(f"csv.decimal_comma: {shown(comma)} is neither true nor false")
    return {"separator": separator, "decimal_comma": comma}


def _json(node: object) -> dict[str, str]:
    if not isinstance(node, dict):
        raise MappingError("json: has the keys list and object")
    _refuse_unknown(node, ("list", "object"), "key", "json: ")
    for key, name in node.items():
        if not isinstance(name, str) or not JSON_NAME.fullmatch(name):
            raise MappingError(f"json.{key}: {shown(name)} is not a name of letters, digits and _")
    return node


def _required(node: object, fields: Dict[str, Value], columns: Columns) -> tuple[str | tuple[str, ...], ...]:
    """Return the columns that a file must have: those that are stated, else all that the id, the time, and
    the cost or amount are made of, of which one is enough.
    """
    if node is None:
        return tuple(
            tuple(sorted(fields[name].columns))
            for name in ("id", "timestamp", "amount", "provider_cost")
            if name in fields and fields[name].columns
        )
    if not isinstance(node, list):
        raise MappingError(f"required: {shown(node)} is not a list of columns")
    needed = [tuple(_names(one if isinstance(one, list) else [one], "required")) for one in node]
    for one in needed:
        for name in one:
            if name not in columns.all:
                raise MappingError(f"required: nothing in the mapping reads the column {shown(name)}")
    return tuple(needed)


def _exact_columns(fields: Dict[str, Value], columns: Columns) -> tuple[str, ...]:
    """Return the columns that state money exactly: a Parquet file must not have them as floats."""
    exact = {
        name
        for field in MONEY
        if field in fields and fields[field].typed is None
        for name in fields[field].columns
    }
    floats = {
        name for field in MONEY if field in fields and fields[field].typed for name in fields[field].columns
    }
    return tuple(name for name in columns.scalars if name in exact - floats and name in columns.stated)


def _number_columns(fields: Dict[str, Value]) -> tuple[str, ...]:
    return tuple(
        sorted({name for field in (*MONEY, *COUNTS) if field in fields for name in fields[field].columns})
    )


def _pull(node: object, columns: tuple[str, ...]) -> PostgresPull:
    if not isinstance(node, dict):
        raise MappingError("pull: has the keys postgres, table, cursor, key and look_back")
    _refuse_unknown(node, ("postgres", "table", "cursor", "key", "look_back"), "key", "pull: ")
    for key in ("postgres", "table", "cursor", "key"):
        if key not in node:
            raise MappingError(f"pull: `{key}` is missing")
    variable = node["postgres"]
    if not isinstance(variable, str) or not re.fullmatch(r"[A-Z][A-Z0-9_]*", variable):
        raise MappingError(
            "pull.postgres: state the name of an environment variable in capitals, such as"
            " LITELLM_DATABASE_URL, not the connection string itself"
        )
    keys = node["key"] if isinstance(node["key"], list) else [node["key"]]
    table, cursor = _names([node["table"], node["cursor"]], "pull")
    look_back = _span(node.get("look_back", "1 days"))
    return PostgresPull(variable, table, cursor, tuple(_names(keys, "pull.key")), look_back, columns)


def _span(text: object) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,5}) (minute|hour|day)s?", text) if isinstance(text, str) else None
    if found is None:
        raise MappingError(
            f"pull.look_back: {shown(text)} is not a span such as 2 days, 6 hours or 30 minutes"
        )
    return timedelta(days=int(found[1]) * SPANS[f"{found[2]}s"])


def _names(node: object, place: str) -> list[str]:
    if not isinstance(node, list) or not node or not all(isinstance(one, str) and one for one in node):
        raise MappingError(f"{place}: {shown(node)} is not a list of names")
    return list(node)


def _text(content: Dict[str, Any], key: str, default: str) -> str:
    text = content.get(key, default)
    if not isinstance(text, str):
        raise MappingError(f"{key}: {shown(text)} is not a text; put it into quotes")
    return text


def _refuse_unknown(node: Dict[Any, Any], known: Sequence[str], what: str, place: str = "") -> None:
    for key in node:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
            raise MappingError(f"{place}{shown(key)} is not a {what}{hint}")
