"""`check`: files are validated before they land, by the rules of a load, and nothing stays."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.validate_file import FileValidation, FileValidationError, validate_file
from paywall_warehouse.settings import load_settings
from tests.support.builders import charge, csv_text, deposit, jsonl
from tests.support.command import command
from tests.support.payment_builders import charge_row

GOOD = [
    charge("c1", "2026-10-01T09:00:00Z", "1.25", note="for the books"),
    deposit("d1", "2026-10-01T08:00:00Z", "10"),
]
BAD = [
    *GOOD,
    charge("c2", "2026-10-01T09:00:00", "1"),
    charge("c3", "yesterday", "1"),
    charge("c4", "2026-10-01T09:00:00Z", "1.0000000000001"),
]


def validated(path: Path, source: str | None = None) -> FileValidation:
    return validate_file(load_settings(_env_file=None), path, source)


def test_rejects_are_counted_by_reason_with_their_first_lines(tmp_path: Path) -> None:
    file = tmp_path / "october.jsonl"
    file.write_bytes(jsonl(BAD) + b"{broken\n")
    found = validated(file)
    assert (found.source, found.is_guessed) == ("ledger", True)
    assert (found.records, found.accepted, found.rejected) == (6, 2, 4)
    assert [(reason.code, reason.records, reason.first_lines) for reason in found.reasons] == [
        ("bad_time", 1, (4,)),
        ("invalid_json", 1, (6,)),
        ("time_without_offset", 1, (3,)),
        ("too_many_decimals", 1, (5,)),
    ]
    assert (found.unread, found.keeps_unread) == (("note",), True)
    assert [record["entry_id"] for record in found.first] == ["c1", "d1"]
    assert found.first[0]["amount"] == "1.250000000000"


@pytest.mark.parametrize("folder", ["landing/ledger", "ledger/2026/10"])
def test_the_folder_says_what_a_file_is(tmp_path: Path, folder: str) -> None:
    file = tmp_path / folder / "prices.csv"
    file.parent.mkdir(parents=True)
    file.write_text("model,effective_from,per_request\ngpt-4o,2026-10-01,0.01\n", encoding="utf-8")
    found = validated(file)
    assert (found.source, found.is_guessed) == ("ledger", False)
    assert [reason.code for reason in found.reasons] == ["missing_column"]
    for name in ("id", "timestamp", "type", "paywall", "amount"):
        assert f'"{name}"' in found.reasons[0].first_reason
    assert validated(file, "prices").accepted == 1


def test_a_report_of_stripes_is_known_by_its_columns(tmp_path: Path) -> None:
    row = charge_row("txn_1", "2026-10-05T10:00:00Z", "10.00", "0.59", intent="pi_1") | {
        "customer_email": "somebody@example.com"
    }
    file = tmp_path / "download.csv"
    file.write_bytes(csv_text([row]))
    found = validated(file)
    assert (found.source, found.accepted) == ("stripe/balance_change_from_activity.itemized", 1)
    assert (found.unread, found.keeps_unread) == (("customer_email",), False)
    assert "somebody@example.com" not in str(found.first)


def test_parquet_and_compressed_files_are_validated(tmp_path: Path) -> None:
    rows = [{"id": "c1", "timestamp": "2026-10-01T09:00:00Z", "type": "charge", "user": "alice"}]
    table = pa.Table.from_pylist([row | {"paywall": "pw", "amount": "2", "team": "x"} for row in rows])
    pq.write_table(table, tmp_path / "a.parquet")
    found = validated(tmp_path / "a.parquet")
    assert (found.source, found.accepted, found.unread) == ("ledger", 1, ("team",))
    (tmp_path / "a.jsonl.gz").write_bytes(b"\x1f\x8bdamaged")
    [reason] = validated(tmp_path / "a.jsonl.gz", "ledger").reasons
    assert (reason.code, reason.first_lines) == ("unreadable_file", ())


def test_an_array_of_json_is_validated(tmp_path: Path) -> None:
    lines = jsonl(BAD).splitlines()
    (tmp_path / "october.json").write_bytes(b"[" + b",\n".join(lines) + b"]")
    found = validated(tmp_path / "october.json")
    assert (found.source, found.is_guessed, found.unread) == ("ledger", True, ("note",))
    assert (found.records, found.accepted, found.rejected) == (5, 2, 3)
    assert [(reason.code, reason.first_lines) for reason in found.reasons] == [
        ("bad_time", (4,)),
        ("time_without_offset", (3,)),
        ("too_many_decimals", (5,)),
    ]


@pytest.mark.parametrize(
    ("name", "wrapped"),
    [
        ("a.json", '{"wallet_transactions": [%s], "meta": {"total_pages": 1}}'),
        ("a.json", '{"wallet_transaction": %s}'),
        ("a.jsonl", '{"webhook_type": "wallet_transaction.created", "wallet_transaction": %s}\n'),
    ],
)
def test_answers_of_lagos_api_are_known_by_the_columns_inside(
    tmp_path: Path, name: str, wrapped: str
) -> None:
    transaction = {
        "lago_id": "wt-1",
        "lago_wallet_id": "w-1",
        "transaction_type": "inbound",
        "transaction_status": "purchased",
        "status": "settled",
        "amount": "10.0000000000001",
        "created_at": "2026-10-01T09:00:00Z",
        "customer": {"email": "somebody@example.com"},
    }
    file = tmp_path / name
    file.write_text(wrapped % json.dumps(transaction | {"amount": "10.000000000001"}))
    found = validated(file)
    assert (found.source, found.is_guessed, found.accepted) == ("lago_wallet_transactions", True, 1)
    assert found.unread == ("customer",)
    assert (found.first[0]["entry_id"], found.first[0]["amount"]) == ("lago:wt-1", "10.000000000001")
    file.write_text(wrapped % json.dumps(transaction))
    [reason] = validated(file).reasons
    assert reason.code == "too_many_decimals"


def test_columns_of_no_source_are_said_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "vendor.csv"
    file.write_text("user,amount,currency,when\nalice,1,usd,2026-10-01\n", encoding="utf-8")
    with pytest.raises(
        FileValidationError, match="The nearest is ledger, which also needs id, timestamp, type"
    ):
        validated(file)


def test_the_command_needs_no_home_and_changes_nothing(tmp_path: Path) -> None:
    home, good, bad = (tmp_path / name for name in ("home", "good.jsonl", "bad.jsonl"))
    good.write_bytes(jsonl(GOOD))
    bad.write_bytes(jsonl(BAD))
    assert command(home, "check", str(good)).returncode == 0
    done = command(home, "check", str(good), str(bad), str(tmp_path / "none.csv"))
    assert done.returncode == 1
    assert f"{good} (source ledger, by its columns): 2 records, 2 accepted, 0 rejected" in done.stdout
    assert "  Nothing reads: note (kept in metadata.extra)" in done.stdout
    assert "1 × time_without_offset, line 3: " in done.stdout
    assert "none.csv is not a file" in done.stderr
    wrong = command(home, "check", str(good), "--as", "invoices")
    assert (wrong.returncode, "the sources are: ledger, events, prices" in wrong.stderr) == (2, True)
    assert not home.exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bad.jsonl", "good.jsonl"]


def test_a_setting_decides_as_in_a_load(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(
        json.dumps(charge("c1", "2026-10-01T09:00:00Z", currency="gems")) + "\n", encoding="utf-8"
    )
    assert validated(file).rejected == 1
    settings = load_settings(_env_file=None, extra_currencies="gems")
    assert validate_file(settings, file).accepted == 1


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_file_is_validated_without_pandas(tmp_path: Path, name: str) -> None:
    """Importing it takes half a second, a sixth of the time for 100,000 records."""
    file = tmp_path / name
    file.write_bytes(csv_text(GOOD) if name == "a.csv" else jsonl(GOOD))
    program = (
        "import sys; from orchestration.cli.main import app;"
        f"app(['check', {str(file)!r}], standalone_mode=False); print('pandas' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr
