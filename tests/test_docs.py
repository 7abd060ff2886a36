"""What the docs list is what the code does."""

import json
import re
import shutil
from pathlib import Path

import pytest

from exports.datasets import DATASETS
from exports.manifest import Catalog, Manifest, json_schema
from ingestion import events, ledger, payments, prices, reasons
from ingestion.sql import MACROS, TEXT_PROBLEMS
from ingestion.stripe.families import FAMILIES
from ingestion.stripe.records import rules_of
from paywall_warehouse.settings import Settings
from tests.builders import charge, deposit, land, ledger_file
from tests.harness import run_pipeline

DOCS = Path(__file__).parents[1] / "docs"


def reason_codes() -> set[str]:
    """Every code that a reject may have."""
    stated = {value for name, value in vars(reasons).items() if name.isupper()}
    rules = [rule for source in (ledger, events, prices, payments) for rule in source.RULES]
    rules += [rule for family in FAMILIES for rule in rules_of(family)]
    in_rules = {code for rule in rules for code in re.findall(r"'(\w+)'", rule.code)}
    in_macros = set(re.findall(r"(?:then|else) '([a-z_0-9]+_[a-z_]+)'", MACROS))
    return stated | in_rules | in_macros | set(TEXT_PROBLEMS)


def test_every_reason_code_is_explained() -> None:
    table = (DOCS / "inputs.md").read_text(encoding="utf-8").split("| reason code |")[1]
    explained = {code for row in table.splitlines() if row.startswith("| `") for code in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert explained == reason_codes()


def test_every_setting_is_explained() -> None:
    operations = (DOCS / "operations.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"`{name.upper()}`" not in operations] == []


def test_the_shipped_schemas_are_those_of_the_classes() -> None:
    for kind, name in ((Manifest, "manifest"), (Catalog, "catalog")):
        shipped = (DOCS.parent / "exports" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
        assert json.loads(shipped) == json_schema(kind), f"write json_schema({kind.__name__}) to exports/schemas/{name}.schema.json"


def test_every_dataset_is_listed_with_its_mart_partition_and_order() -> None:
    listed = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\S+) \| (.+) \|$", (DOCS / "exports.md").read_text(encoding="utf-8"), re.MULTILINE)
    stated = [
        (one.name, one.mart, f"`{one.day}`" if one.day else "snapshot", ", ".join(f"`{name}`" for name in one.grain))
        for one in DATASETS.values()
    ]
    assert listed == stated


def recipes() -> list[str]:
    """The Python of docs/exports.md that needs nothing but an export and a mirror."""
    text = (DOCS / "exports.md").read_text(encoding="utf-8")
    return [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "spark" not in code]


def test_the_recipes_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    land(
        tmp_path / "home",
        [
            ledger_file(
                "a.jsonl",
                [
                    deposit("d1", "2026-09-01T08:00:00Z", "20"),
                    charge("c1", "2026-09-01T09:00:00Z", "1.25"),
                    charge("c2", "2026-08-31T09:00:00Z", "0.5"),
                ],
            )
        ],
    )
    assert run_pipeline(tmp_path / "home", exports=True, as_of="2026-10-01", export_uri=str(tmp_path / "export")).exit_code == 0
    shutil.copytree(tmp_path / "export", tmp_path / "mirror")
    monkeypatch.chdir(tmp_path)
    assert len(recipes()) == 5
    for recipe in recipes():
        exec(compile(recipe.replace("/srv/data/exports", str(tmp_path / "export")), "docs/exports.md", "exec"), {})
    printed = capsys.readouterr().out
    # DuckDB: two entries in September with 1.25 of revenue; pandas: the column is a decimal; polars: a line a day; pyarrow: two rows.
    assert re.search(r"2026-09-01 │ usd +│ +2 │ +1\.25", printed)
    assert "True\n" in printed
    assert re.search(r"2026-08-31 ┆ usd +┆ 0\.5", printed)
    assert printed.endswith("\n2\n")
