"""DuckDB works without the folder warehouse/spark/."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.builders import charge, ledger_file

ROOT = Path(__file__).parents[2]
ROOMS = (
    "dashboard",
    "dbt_project",
    "exports",
    "ingestion",
    "orchestration",
    "paywall_warehouse",
    "sample_data",
    "warehouse",
)


PYTHON = """
from pathlib import Path
from paywall_warehouse.settings import load_settings
from warehouse import engines, extras
settings = load_settings()
print(type(engines.engine_of(settings)).__name__, extras.missing_extra(settings))
engines.forget_exchanged_files(settings)
print(engines.promoted_through(settings.home), engines.copies_with_erased_people(settings.home))
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The rooms without the folder warehouse/spark/."""
    left_out = shutil.ignore_patterns("target", "spark", "__pycache__")
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / "code" / room, ignore=left_out)
    assert not (tmp_path / "code" / "warehouse" / "spark").exists()
    return tmp_path / "code"


def in_code(code: Path, home: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the folder of the code, which comes before the installed packages."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=code,
        env={**kept, "WAREHOUSE_HOME": str(home), "AS_OF": "2026-10-02"},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_what_asks_for_a_cluster_gets_an_answer_without_the_spark_folder(code: Path, tmp_path: Path) -> None:
    ended = in_code(code, tmp_path / "home", PYTHON)
    assert (ended.returncode, ended.stdout.splitlines()) == (0, ["DuckdbEngine None", "-1 []"]), ended.stderr


@pytest.mark.soak
def test_a_run_and_an_erasure_need_no_spark_folder(code: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "landing" / "ledger").mkdir(parents=True)
    file = ledger_file("a.jsonl", [charge("c1", "2026-10-01T10:00:00Z", "1.25", user="alice@example.com")])
    (home / "landing" / "ledger" / file.name).write_bytes(file.content)
    for words in (["run"], ["erase", "alice@example.com"]):
        start = f"import sys; sys.argv[1:] = {words!r}; from orchestration.cli.main import main; main()"
        ended = in_code(code, home, start)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 rows of the lake now name" in ended.stdout + ended.stderr
