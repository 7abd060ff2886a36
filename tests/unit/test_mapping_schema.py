"""The schema of mappings for editors accepts and refuses what `read_mapping` accepts and refuses."""

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml

from ingestion.sources.mappings.expressions import Compiler, MappingError
from ingestion.sources.mappings.mapping import FIELDS, KEYS, read_mapping

FOLDER = files("ingestion.sources.mappings")
SCHEMA = json.loads(FOLDER.joinpath("mapping.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SHIPPED = {
    file.name: file.read_text("utf-8")
    for file in FOLDER.joinpath("shipped").iterdir()
    if file.name.endswith(".yml")
}


def mapping(**keys: Any) -> str:
    """Return a small mapping with further keys; `fields_amount` is the field `amount`."""
    fields: dict[str, Any] = {
        "id": "call_id",
        "type": {"constant": "charge"},
        "timestamp": {"time": "finished"},
        "user": "customer",
        "paywall": {"constant": "acme"},
        "amount": "price",
    }
    fields |= {name.removeprefix("fields_"): keys.pop(name) for name in list(keys) if name[:7] == "fields_"}
    return yaml.safe_dump({"fields": fields} | keys)


PULL = {"postgres": "ACME_DATABASE_URL", "table": "calls", "cursor": "finished", "key": "call_id"}

GOOD = {
    "small": mapping(),
    "descriptions": mapping(title="Acme", about="A row is a call."),
    "csv": mapping(csv={"separator": "\t", "decimal_comma": True}),
    "json": mapping(json={"list": "calls", "object": "call"}),
    "required": mapping(required=["call_id", ["price", "finished"]]),
    "nothing is required": mapping(required=None),
    "drop": mapping(drop=["prompt"]),
    "metadata": mapping(metadata={"team": "team", "first tag": {"column": "tags", "path": "first.name"}}),
    "user of another entry": mapping(user_of={"concat": [{"constant": "acme:"}, "grant"]}),
    "rows": mapping(
        rows={
            "all": [
                {"any": [{"value": "kind", "is": "chat"}, {"value": "kind", "in": ["a", "b"]}]},
                {"not": {"value": "kind", "starts_with": "test"}},
                {"value": {"lower": "kind"}, "contains": "x"},
                {"value": "kind", "empty": False},
                {"value": "price", "above": 0},
                {"value": "price", "below": "0.5"},
            ]
        }
    ),
    "texts": mapping(
        fields_status={"translate": "state", "words": {"ok": "settled"}, "else": {"constant": "failed"}},
        fields_model={"coalesce": ["model", {"lower": "engine"}]},
        fields_billing={"case": [{"when": {"value": "a", "is": "b"}, "then": "c"}], "else": "d"},
    ),
    "times": mapping(
        fields_timestamp={"time": "finished", "zone": "Europe/Berlin", "format": "%d.%m.%Y %H:%M"},
        fields_updated_at={"epoch": "changed", "unit": "ms"},
    ),
    "numbers": mapping(
        fields_amount={"negate": {"absolute": "price"}},
        fields_provider_cost={"float": {"sum": ["a", "b"]}},
        fields_platform_fees={"minor_units": "fee", "currency": {"constant": "usd"}},
        fields_prompt_tokens={"shift": "thousands", "places": 3},
    ),
    "pull": mapping(pull=PULL | {"key": ["call_id", "part"], "look_back": "6 hours"}),
}

BAD = {
    "a list": "- fields",
    "nothing": "{}",
    "an unknown key": mapping(colums=["a"]),
    "an unknown field": mapping(fields_costs="cost"),
    "no id": yaml.safe_dump({"fields": {"timestamp": "t", "type": "k", "paywall": "p", "amount": "a"}}),
    "no money": yaml.safe_dump({"fields": {"id": "i", "timestamp": "t", "type": "k", "paywall": "p"}}),
    "a title that is no text": mapping(title=5),
    "an unknown separator": mapping(csv={"separator": ":"}),
    "a decimal comma that is a text": mapping(csv={"decimal_comma": "yes"}),
    "an unknown key of csv": mapping(csv={"delimiter": ";"}),
    "an unknown key of json": mapping(json={"lists": "calls"}),
    "a list with a path as its name": mapping(json={"list": "page.calls"}),
    "a list that is a list": mapping(json={"list": ["calls"]}),
    "a required column that is no list": mapping(required="call_id"),
    "a number as a column": mapping(fields_user=7),
    "a column with a quote": mapping(fields_user='a"b'),
    "an unknown function": mapping(fields_user={"upper": "customer"}),
    "two functions": mapping(fields_user={"lower": "customer", "constant": "x"}),
    "a companion of another function": mapping(fields_user={"lower": "customer", "zone": "UTC"}),
    "an empty path": mapping(fields_user={"column": "customer", "path": ""}),
    "an empty list": mapping(fields_user={"coalesce": []}),
    "a constant that is a number": mapping(fields_user={"constant": 1}),
    "no words": mapping(fields_status={"translate": "state"}),
    "a word that is a boolean": mapping(fields_status={"translate": "state", "words": {"ok": True}}),
    "a branch without then": mapping(fields_status={"case": [{"when": {"value": "a", "is": "b"}}]}),
    "a unit of days": mapping(fields_timestamp={"epoch": "finished", "unit": "days"}),
    "a shift by too much": mapping(fields_amount={"shift": "price", "places": 19}),
    "a shift by nothing": mapping(fields_amount={"shift": "price"}),
    "minor units of no currency": mapping(fields_amount={"minor_units": "price"}),
    "a condition without a test": mapping(rows={"value": "kind"}),
    "a condition with two tests": mapping(rows={"value": "kind", "is": "a", "contains": "b"}),
    "an unknown test": mapping(rows={"value": "kind", "equals": "a"}),
    "a condition with more than all": mapping(rows={"all": [{"value": "a", "is": "b"}], "value": "a"}),
    "a bound that is a float": mapping(rows={"value": "price", "above": 0.5}),
    "a bound that is no number": mapping(rows={"value": "price", "above": "much"}),
    "an empty that is a text": mapping(rows={"value": "kind", "empty": "true"}),
    "metadata without keys": mapping(metadata=["team"]),
    "drop of one column": mapping(drop="prompt"),
    "a connection string": mapping(pull=PULL | {"postgres": "postgresql://user:password@host/db"}),
    "a pull without a cursor": mapping(pull={"postgres": "URL", "table": "calls", "key": "id"}),
    "a look-back in weeks": mapping(pull=PULL | {"look_back": "2 weeks"}),
}


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("text", SHIPPED.values(), ids=SHIPPED)
def test_the_schema_accepts_every_shipped_mapping(text: str) -> None:
    VALIDATOR.validate(yaml.safe_load(text))


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_both_accept_a_good_mapping(text: str) -> None:
    read_mapping("acme", text, "x")
    VALIDATOR.validate(yaml.safe_load(text))


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_both_refuse_a_bad_mapping(text: str) -> None:
    with pytest.raises(MappingError, match=r"^x: "):
        read_mapping("acme", text, "x")
    assert not VALIDATOR.is_valid(yaml.safe_load(text))


def test_the_schema_lists_every_key_field_and_function() -> None:
    functions = {branch["title"] for branch in SCHEMA["$defs"]["expression"]["anyOf"] if "title" in branch}
    assert set(SCHEMA["properties"]) == set(KEYS)
    assert set(SCHEMA["properties"]["fields"]["properties"]) == set(FIELDS)
    assert functions == set(Compiler()._functions)
