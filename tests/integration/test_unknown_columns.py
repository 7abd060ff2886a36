"""The operator's own files: without a misspelled column a row would hold for more, so the file is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingestion.lake.batches import Lake
from ingestion.load import load
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings, load_settings

SCOPES = "provider, project, key, scope"
MARKUPS = "source, model, effective_from, effective_to, multiplier, per_request"
RATES = (
    "model, effective_from, effective_to, prompt_per_million, completion_per_million,"
    " cached_prompt_per_million, per_request, currency"
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(_env_file=None, warehouse_home=tmp_path, duckdb_threads=1)


def rejects(settings: Settings, path: str, source: str, text: str) -> list[Any]:
    """Land and load a file; return line, code and reason of its rejects."""
    file = settings.home.landing / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    load(settings, source, drop_build=lambda _: None)
    lake = Lake(settings.home)
    files = [str(one) for one in lake.parquet_files("rejects", lake.manifests())]
    if not files:
        return []
    with open_duckdb() as connection:
        return connection.execute(
            "select line, reason_code, reason from read_parquet($files) order by all", {"files": files}
        ).fetchall()


@pytest.mark.parametrize(
    ("path", "source", "header", "allowed"),
    [
        ("bills/scope.csv", "bills/scope", "provider,projekt,scope", SCOPES),
        ("bills/models.csv", "bills/models", "provider,model_as_billed,model_id,projekt",
         "provider, model_as_billed, model_id"),
        ("bills/providers.csv", "bills/providers", "name,provider,projekt", "name, provider"),
        ("prices/markups.csv", "markups", "projekt,multiplier", MARKUPS),
        ("prices/own.csv", "prices", "model,effective_from,projekt,per_request", RATES),
    ],
)  # fmt: skip
def test_a_misspelled_column_is_refused_with_what_is_allowed(
    settings: Settings, path: str, source: str, header: str, allowed: str
) -> None:
    values = ",".join("1" for _ in header.split(","))
    assert rejects(settings, path, source, f"{header}\n{values}\n") == [
        (None, "unknown_column", f'column "projekt" is not known; allowed: {allowed}. Rename or remove it')
    ]


def test_all_unknown_columns_are_named_at_once_and_a_comma_at_the_end_is_none(settings: Settings) -> None:
    [(_, _, reason)] = rejects(settings, "bills/scope.csv", "bills/scope", "Provder,SCOPE,kee,\na,sold,b,\n")
    assert reason.startswith('columns "Provder", "kee" are not known; allowed: ')


def test_case_and_spaces_of_a_known_column_do_not_matter(settings: Settings) -> None:
    assert rejects(settings, "bills/scope.csv", "bills/scope", "Provider, SCOPE ,\na,sold,\n") == []


@pytest.mark.parametrize(
    ("path", "source", "row", "allowed"),
    [
        ("bills/scope.jsonl", "bills/scope", {"scope": "outside"}, SCOPES),
        ("prices/markups.jsonl", "markups", {"multiplier": "2"}, MARKUPS),
        ("prices/own.jsonl", "prices",
         {"model": "m", "effective_from": "2026-10-01", "per_request": "1"}, RATES),
    ],
)  # fmt: skip
def test_a_misspelled_field_rejects_its_record_alone(
    settings: Settings, path: str, source: str, row: dict[str, str], allowed: str
) -> None:
    lines = [row, row | {"projekt": "sk-secret"}]
    [found] = rejects(settings, path, source, "\n".join(map(json.dumps, lines)))
    assert found == (2, "unknown_column", f'field "projekt" is not known; allowed: {allowed}')
