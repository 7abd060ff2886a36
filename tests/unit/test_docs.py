"""What the docs list is what the code does."""

import json
import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from exports.datasets import DATASETS
from exports.manifest import Catalog, Manifest, json_schema
from ingestion import sources
from ingestion.sources.stripe.records import rules_of
from ingestion.sources.stripe.reports import STRIPE_REPORTS
from ingestion.validation import reject_codes
from ingestion.validation.macros import MACROS
from ingestion.validation.rules import TEXT_PROBLEMS
from paywall_warehouse.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"


def reason_codes() -> set[str]:
    """Every code that a reject may have."""
    stated = {value for name, value in vars(reject_codes).items() if name.isupper()}
    modules = [import_module(f"ingestion.sources.{one.name}") for one in iter_modules(sources.__path__)]
    rules = [rule for module in modules for rule in getattr(module, "RULES", ())]
    rules += [rule for stripe_report in STRIPE_REPORTS for rule in rules_of(stripe_report)]
    in_rules = {code for rule in rules for code in re.findall(r"'(\w+)'", rule.code)}
    in_macros = set(re.findall(r"(?:then|else) '([a-z_0-9]+_[a-z_]+)'", MACROS))
    return stated | in_rules | in_macros | set(TEXT_PROBLEMS)


def test_every_reason_code_is_explained() -> None:
    table = (DOCS / "inputs.md").read_text(encoding="utf-8").split("| reason code |")[1]
    explained = {
        code
        for row in table.splitlines()
        if row.startswith("| `")
        for code in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert explained == reason_codes()


def test_every_setting_is_explained() -> None:
    operations = (DOCS / "operations.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"`{name.upper()}`" not in operations] == []


def test_the_shipped_schemas_are_those_of_the_classes() -> None:
    for kind, name in ((Manifest, "manifest"), (Catalog, "catalog")):
        shipped = (DOCS.parent / "exports" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
        assert json.loads(shipped) == json_schema(kind), (
            f"write json_schema({kind.__name__}) to exports/schemas/{name}.schema.json"
        )


def test_every_dataset_is_listed_with_its_mart_partition_and_order() -> None:
    listed = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| (\S+) \| (.+) \|$",
        (DOCS / "exports.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    stated = [
        (
            one.name,
            one.mart,
            f"`{one.day}`" if one.day else "snapshot",
            ", ".join(f"`{name}`" for name in one.grain),
        )
        for one in DATASETS.values()
    ]
    assert listed == stated
