"""DuckDB works without the folder warehouse/spark/."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

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


def test_a_run_and_an_erasure_need_no_spark_folder(tmp_path: Path) -> None:
    for room in ROOMS:
        shutil.copytree(
            ROOT / room,
            tmp_path / "code" / room,
            ignore=shutil.ignore_patterns("target", "spark", "__pycache__"),
        )
    assert not (tmp_path / "code" / "warehouse" / "spark").exists()
    home = tmp_path / "home"
    (home / "landing" / "ledger").mkdir(parents=True)
    file = ledger_file("a.jsonl", [charge("c1", "2026-10-01T10:00:00Z", "1.25", user="alice@example.com")])
    (home / "landing" / "ledger" / file.name).write_bytes(file.content)
    environment = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")},
        "WAREHOUSE_HOME": str(home),
        "AS_OF": "2026-10-02",
    }
    for words in (["run"], ["erase", "alice@example.com"]):
        # The folder of `-c` comes first: the installed packages are not used.
        start = f"import sys; sys.argv[1:] = {words!r}; from orchestration.cli.main import main; main()"
        ended = subprocess.run(
            [sys.executable, "-c", start],
            cwd=tmp_path / "code",
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 rows of the lake now name" in ended.stdout + ended.stderr
