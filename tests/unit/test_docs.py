"""What the docs list is what the code does."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from exports.datasets import DATASETS
from exports.manifest import Catalog, Manifest, json_schema
from ingestion.sources import ledger, payments, prices, webhooks
from ingestion.sources.stripe.records import rules_of
from ingestion.sources.stripe.reports import STRIPE_REPORTS
from ingestion.validation import reject_codes
from ingestion.validation.macros import MACROS
from ingestion.validation.rules import TEXT_PROBLEMS
from paywall_warehouse.settings import Settings
from tests.support.builders import charge, deposit, land, ledger_file
from tests.support.harness import run_pipeline
from tests.support.postgres import postgres

DOCS = Path(__file__).parents[2] / "docs"


def reason_codes() -> set[str]:
    """Every code that a reject may have."""
    stated = {value for name, value in vars(reject_codes).items() if name.isupper()}
    rules = [rule for source in (ledger, webhooks, prices, payments) for rule in source.RULES]
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


def recipes() -> list[str]:
    """The Python of docs/exports.md that needs nothing but an export and a mirror."""
    text = (DOCS / "exports.md").read_text(encoding="utf-8")
    return [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "spark" not in code]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an export and its mirror: a deposit and a charge of 1.25 on 1 September, a charge of 0.5
    the day before.
    """
    folder = tmp_path_factory.mktemp("recipes")
    entries = [
        deposit("d1", "2026-09-01T08:00:00Z", "20"),
        charge("c1", "2026-09-01T09:00:00Z", "1.25"),
        charge("c2", "2026-08-31T09:00:00Z", "0.5"),
    ]
    land(folder / "home", [ledger_file("a.jsonl", entries)])
    assert (
        run_pipeline(
            folder / "home", exports=True, as_of="2026-10-01", export_uri=str(folder / "export")
        ).exit_code
        == 0
    )
    shutil.copytree(folder / "export", folder / "mirror")
    return folder


def test_the_recipe_for_postgres_runs(exported: Path) -> None:
    text = (DOCS / "exports.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"### Postgres\n\n```sql\n(.*?)```", text, re.DOTALL)
    recipe = recipe.replace("2026-09-30", "2026-09-01")
    # Twice: a restated day is replaced, not added.
    again = recipe.partition("begin;")
    script = (
        recipe
        + again[1]
        + again[2]
        + "select date_day, currency, charges, counted_charges, revenue from daily_revenue;"
    )
    with postgres() as environment:
        told = subprocess.run(
            ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1"],
            input=script, cwd=exported, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (told.returncode, told.stderr) == (0, ""), told
    assert told.stdout.strip() == "2026-09-01|usd|1|1|1.250000000000"


def test_the_recipes_run(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(exported)
    assert len(recipes()) == 5
    for recipe in recipes():
        exec(
            compile(recipe.replace("/srv/data/exports", str(exported / "export")), "docs/exports.md", "exec"),
            {},
        )
    printed = capsys.readouterr().out
    # DuckDB: two entries in September with 1.25 of revenue; pandas: the column is a decimal; polars: a line a
    # day; pyarrow: two rows.
    assert re.search(r"2026-09-01 │ usd +│ +2 │ +1\.25", printed)
    assert "True\n" in printed
    assert re.search(r"2026-08-31 ┆ usd +┆ 0\.5", printed)
    assert printed.endswith("\n2\n")
