"""The recipes of docs/exports.md run as they stand."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.builders import charge, deposit, land, ledger_file
from tests.support.export_homes import export, finish
from tests.support.harness import publish_home
from tests.support.postgres import postgres

DOCS = Path(__file__).parents[2] / "docs"


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
    publish_home(folder / "home", as_of="2026-10-01")
    for do in (export, finish):
        do(folder / "home", export_uri=str(folder / "export"))
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
        done = subprocess.run(
            ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1"],
            input=script, cwd=exported, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.strip() == "2026-09-01|usd|1|1|1.250000000000"


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
