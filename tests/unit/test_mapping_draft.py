"""The draft of a mapping: what it guesses from names and values, and what it leaves to be decided."""

from pathlib import Path

import pytest

from ingestion.sources.mappings.draft import draft

HEADER = "ref,when,seat,question,answer,state,cost\n"
ROW = "r1,1793700000123,u1,write me a long poem,no,ok,1.5e-05\n"


def drafted(folder: Path, text: str) -> list[str]:
    file = folder / "Vendor export.csv"
    file.write_text(text)
    name, mapping = draft(file)
    assert name == "vendor_export"
    return mapping.splitlines()


def test_a_time_is_known_by_its_values(tmp_path: Path) -> None:
    assert "  timestamp: {epoch: when, unit: ms}" in drafted(tmp_path, HEADER + ROW)


def test_words_that_look_private_are_dropped(tmp_path: Path) -> None:
    lines = drafted(tmp_path, HEADER + ROW)
    dropped = lines[lines.index("drop:") + 1 :]
    assert dropped == ["  - question", "  - answer"]


def test_a_word_of_unknown_meaning_is_left_out_and_named(tmp_path: Path) -> None:
    lines = drafted(tmp_path, HEADER + ROW + ROW.replace("ok", "lost").replace("r1", "r2"))
    assert "  status: {translate: state, words: {ok: settled}}  # TODO: check each word; add lost" in lines


def test_an_export_in_another_language_leaves_nothing_undecided_silently(tmp_path: Path) -> None:
    header = "Nr;Zeitpunkt;Kundenname;Eingabe-Token;api_token;cost_cents;Währung;Status\n"
    row = "V-1;02.11.2026 08:15:30;Anna Muster;1.250;sk-1;0,4125;EUR;{}\n"
    lines = drafted(
        tmp_path, header + row.format("erfolgreich") + row.format("storniert").replace("1;", "2;", 1)
    )
    assert 'csv: {separator: ";", decimal_comma: true}' in lines
    assert "  provider_cost: {shift: cost_cents, places: -2}  # TODO: are these cents?" in lines
    [status] = [line for line in lines if line.startswith("  status: Status  # TODO: {translate: Status, ")]
    assert status.endswith("means erfolgreich, storniert")
    assert "  # TODO: prompt_tokens and completion_tokens: the columns that count tokens" in lines
    assert "  eingabe_token: Eingabe-Token" in lines
    assert '  wahrung: "Währung"' in lines
    assert lines[lines.index("drop:") + 1 :] == ["  - Kundenname", "  - api_token"]


@pytest.mark.parametrize(
    "text",
    ["id,ts,user,cost\n1,2,3,4\n", '{"id": "x", "created_at": "2026-01-01T00:00:00Z", "spend": 1e-7}\n'],
)
def test_a_cost_without_a_price_is_no_amount(tmp_path: Path, text: str) -> None:
    file = tmp_path / ("a.csv" if text.startswith("id") else "a.jsonl")
    file.write_text(text)
    _, mapping = draft(file)
    assert "provider_cost: " in mapping
    assert "\n  amount: " not in mapping
