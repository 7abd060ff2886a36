"""`paywall-warehouse export`: one slice, as asked for, and nothing else."""

import csv
import gzip
import io
import json
import os
import subprocess
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from exports.datasets import DATASETS
from tests.support.builders import charge, deposit, land, ledger_file
from tests.support.command import COMMAND, command, command_here
from tests.support.harness import publish_home

EVIL = "x'; drop table marts.fct_ledger_entries; --"
RECORDS = [
    deposit("d1", "2026-10-01T08:00:00Z", "20", user="=1+1"),
    charge("c1", "2026-10-01T09:00:00Z", "1.25", user="=1+1", model="m", provider_cost="1.1"),
    charge("c3", "2026-10-02T09:00:00Z", "0.000000000001", user="bob"),
    charge("c2", "2026-10-02T23:59:59.999999Z", "123456789012345678.123456789012", user=EVIL),
    charge("c4", "2026-10-03T00:00:00Z", "2", user="bob, the second", currency="eur"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("slices") / "home"
    land(home, [ledger_file("a.jsonl", RECORDS)])
    publish_home(home, as_of="2026-10-03T12:00:00Z")
    return home


def export(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command_here(home, "export", *arguments)


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_columns_and_half_open_days_go_to_standard_output_in_the_datasets_order(home: Path) -> None:
    arguments = ("--columns", "amount,entry_id", "--from", "2026-10-01", "--to", "2026-10-03")
    done = command(home, "export", "ledger", *arguments)
    assert done.stdout.splitlines() == [
        "amount,entry_id",
        "1.250000000000,c1",
        "20.000000000000,d1",
        "123456789012345678.123456789012,c2",
        "0.000000000001,c3",
    ]
    assert "4 rows" in done.stderr


def test_filters_hold_all_at_once(home: Path) -> None:
    conditions = ("entry_type=charge", "amount>=0.000000000001", "amount<2", "user_id in bob,=1+1")
    done = export(home, "ledger", *(word for one in conditions for word in ("--where", one)))
    assert [row["entry_id"] for row in rows(done)] == ["c1", "c3"]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("user_id==1+1", ["c1", "d1"]),
        (f"user_id={EVIL}", ["c2"]),
        ('user_id in ("bob, the second",nobody)', ["c4"]),
        ("entry_date in 2026-10-01, 2026-10-03", ["c1", "d1", "c4"]),
        ("occurred_at>=2026-10-03T02:00:00+02:00", ["c4"]),
        ("amount=123456789012345678.123456789012", ["c2"]),
        ("prompt_tokens<1", []),
        ("currency = eur", ["c4"]),
        ("amount=2.0000000000000", ["c4"]),
        ("user_id=", []),
        # At the last digit of the largest and the smallest amount: a float would equal its neighbours.
        ("amount>123456789012345678.123456789011", ["c2"]),
        ("amount>123456789012345678.123456789012", []),
        ("amount>=123456789012345678.123456789012", ["c2"]),
        ("amount<=0.000000000001", ["c3"]),
        ("amount<0.000000000001", []),
        ("amount!=2", ["c1", "d1", "c2", "c3"]),
        ("amount <> 2.00", ["c1", "d1", "c2", "c3"]),
        ("entry_date>2026-10-01", ["c2", "c3", "c4"]),
        ("entry_date<=2026-10-01", ["c1", "d1"]),
        ("occurred_at>2026-10-02T23:59:59.999998Z", ["c2", "c4"]),
        ("occurred_at>2026-10-02T23:59:59.999999Z", ["c4"]),
        ("occurred_at<=2026-10-03T01:59:59.999999+02:00", ["c1", "d1", "c2", "c3"]),
        ("user_id>bob", ["c2", "c4"]),
        ("user_id != bob", ["c1", "d1", "c2", "c4"]),
        # Entries without a model meet no condition on it.
        ("model_id!=x", ["c1", "c2", "c3", "c4"]),
    ],
)
def test_a_condition_holds_for_values_that_look_like_syntax(
    home: Path, condition: str, found: list[str]
) -> None:
    assert [row["entry_id"] for row in rows(export(home, "ledger", "--where", condition))] == found


def test_csv_is_safe_for_spreadsheets_and_jsonl_is_as_it_is(home: Path) -> None:
    arguments = ("ledger", "--columns", "user_id,balance_effect,occurred_at", "--where", "entry_id=c1")
    assert (
        export(home, *arguments).stdout
        == "user_id,balance_effect,occurred_at\n'=1+1,-1.250000000000,2026-10-01T09:00:00.000000Z\n"
    )
    line = json.loads(export(home, *arguments, "--format", "jsonl").stdout)
    assert line == {
        "user_id": "=1+1",
        "balance_effect": "-1.250000000000",
        "occurred_at": "2026-10-01T09:00:00.000000Z",
    }


def test_parquet_keeps_the_types_of_the_mart(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "slice.parquet"
    done = export(home, "ledger", "--output", str(file), "--where", "currency=usd")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    table = pq.read_table(file)
    assert table.schema.field("amount").type == pa.decimal128(38, 12)
    assert table.schema.field("occurred_at").type == pa.timestamp("us", tz="UTC")
    # Python's own context keeps 28 digits.
    assert sum(map(Fraction, table["amount"].to_pylist())) == Fraction("123456789012345699.373456789013")


def test_the_name_of_the_file_says_format_and_compression(home: Path, tmp_path: Path) -> None:
    for name, first in (
        ("a.csv.gz", "user_id,currency,"),
        ("a.jsonl", '{"user_id":"'),
        ("a.txt", "user_id,currency,"),
    ):
        assert export(home, "users", "--output", str(tmp_path / name)).returncode == 0
        content = (tmp_path / name).read_bytes()
        assert (gzip.decompress(content) if name.endswith(".gz") else content).decode().startswith(first)


def test_parquet_goes_through_a_pipe(home: Path) -> None:
    done = subprocess.run(
        [COMMAND, "export", "users", "--format", "parquet"],
        env={"WAREHOUSE_HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    assert pq.read_table(io.BytesIO(done.stdout)).num_rows == 4


def test_every_dataset_can_be_had(home: Path) -> None:
    for name in ("users", "period_kpis", "reconciliation", "usage_errors", "balance_rollforward"):
        assert rows(export(home, name)) or name == "usage_errors"


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("currency=USD", "no row has the currency 'USD'; there is 'usd'."),
        ("currency in usd,gbp", "no row has the currency 'gbp'; there are: 'eur', 'usd'."),
        ("entry_type!=chrage", "no row has the entry_type 'chrage'; there are: 'charge', 'deposit'."),
        ("amount=1.26", "no row has the amount 1.260000000000."),
        ("entry_date=2026-10-09", "no row has the entry_date 2026-10-09."),
    ],
)
def test_a_value_that_occurs_nowhere_gives_a_warning(home: Path, condition: str, words: str) -> None:
    done = export(home, "ledger", "--where", condition)
    assert done.returncode == 0
    assert f"Warning: --where: {words}\n" in done.stderr
    assert "Warning" not in done.stdout


def test_a_value_that_occurs_on_other_days_only_gives_no_warning(home: Path) -> None:
    done = export(
        home, "ledger", "--from", "2026-10-03", "--where", "entry_type=deposit", "--where", "amount<5"
    )
    assert (rows(done), "Warning" in done.stderr) == ([], False)


def test_files_are_compressed_as_their_names_say(home: Path, tmp_path: Path) -> None:
    for name in ("a.csv.zst", "a.jsonl.zst", "a.csv.gz", "a.JSONL.GZ", "a.ndjson", "a", "b.txt.zst"):
        assert export(home, "users", "--output", str(tmp_path / name)).returncode == 0, name
        content = (tmp_path / name).read_bytes()
        if name.endswith(".zst"):
            content = zstandard.ZstdDecompressor().stream_reader(content).read()
        elif name.lower().endswith(".gz"):
            content = gzip.decompress(content)
        encoding = "jsonl" if "json" in name.lower() else "csv"
        assert content.decode() == export(home, "users", "--format", encoding).stdout, name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("a.xlsx",),
            (
                "the ending means xlsx, which is not the format that is written; allowed: a name that ends in"
                " .csv or .jsonl (each also with .gz or"
            ),
        ),
        (("a.tsv",), "the ending means tsv"),
        (("a.TSV.gz",), "the ending means tsv"),
        (("a.xlsx", "--format", "csv"), "the ending means xlsx"),
        (("a.csv.bz2",), "the ending means bz2"),
        (("a.json", "--format", "jsonl"), "the ending means json,"),
        (("a.csv", "--format", "parquet"), "the ending means csv"),
        (("a.parquet", "--format", "csv"), "the ending means parquet"),
        (("a.parquet.zst",), "Parquet files are already compressed; choose a name without .zst"),
        (("a.dat",), "the ending .dat belongs to no known format; pass --format, or allowed: "),
    ],
)
def test_a_name_that_contradicts_the_format_is_refused(
    home: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = export(home, "users", "--output", str(tmp_path / arguments[0]), *arguments[1:])
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (2, "", [])
    assert words in done.stderr


def test_a_name_that_says_nothing_takes_the_format_that_is_given(home: Path, tmp_path: Path) -> None:
    assert export(home, "users", "--output", str(tmp_path / "a.dat"), "--format", "csv").returncode == 0
    assert (tmp_path / "a.dat").read_text(encoding="utf-8").startswith("user_id,")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ledgers",), f"allowed: {', '.join(DATASETS)}"),
        (
            ("ledger", "--columns", "entry_id,amout"),
            "there is no column 'amout'; allowed: entry_id, user_id, ",
        ),
        (("ledger", "--columns", ""), "--columns: there is no column ''"),
        (("ledger", "--columns", "amount,amount"), "named twice"),
        (("ledger", "--where", "user_id in a\rb"), "no values are given"),
        (
            ("ledger", "--where", "amount like 5"),
            "the operator 'like' is not known; allowed: column=value, and with != > >= < <= in place",
        ),
        (("ledger", "--where", "amount=>5"), "'>5' is not allowed; allowed: a decimal such as 12.50"),
        (("ledger", "--where", "prompt_tokens>1.5"), "allowed: a whole number"),
        (("ledger", "--where", "amount"), "is not understood; allowed: column=value"),
        (("ledger", "--where", "1=1"), "there is no column '1'"),
        (("ledger", "--where", "amount=1.5x"), "'1.5x' is not allowed; allowed: a decimal such as 12.50"),
        (("ledger", "--where", "amount=0.0000000000001"), "12 behind the point"),
        (("ledger", "--where", "occurred_at>=2026-10-01T00:00:00"), "an instant with offset"),
        (("reconciliation", "--where", "deposit_entry_ids=d1"), "is a list, which cannot be filtered"),
        (
            ("ledger", "--from", "2026-13-01"),
            "--from: '2026-13-01' is not allowed; allowed: a day such as 2026-10-01",
        ),
        (("ledger", "--from", "2026-10-02", "--to", "2026-10-01"), "is after --to"),
        (("users", "--from", "2026-10-01"), "users is a snapshot without days; use --where"),
        (("users", "--format", "xlsx"), "allowed: parquet, csv, jsonl"),
        (("users", "--output", "/no/such/folder/a.csv"), "there is no folder /no/such/folder"),
        (("users", "--output", "a.parquet.gz"), "Parquet files are already compressed"),
    ],
)
def test_an_invalid_request_is_refused_with_what_is_allowed(
    home: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = export(home, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_process_ends_with_2_after_an_invalid_request(home: Path) -> None:
    done = command(home, "export", "ledgers")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_a_pipe_is_written_to_and_a_link_is_followed(home: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE, text=True) as reader:
        try:
            arguments = ("--columns", "currency", "--output", str(tmp_path / "pipe"))
            done = command(home, "export", "users", *arguments)
            assert done.returncode == 0, done.stderr
            assert reader.communicate(timeout=30)[0].startswith("currency\n")
        finally:
            reader.kill()  # it waits for ever for a command that never opened the pipe
    (tmp_path / "link.csv").symlink_to(tmp_path / "file.csv")
    assert export(home, "users", "--output", str(tmp_path / "link.csv")).returncode == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "file.csv").read_text(encoding="utf-8").startswith("user_id,")


def test_a_published_file_that_cannot_be_read_is_reported(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "home" / "published"
    broken.mkdir(parents=True)
    (broken / "warehouse.duckdb").write_bytes(b"no database")
    done = export(tmp_path / "home", "ledger")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be opened" in done.stderr
    assert "Traceback" not in done.stderr


def test_before_the_first_publication_it_reports_that_nothing_is_published(tmp_path: Path) -> None:
    done = command(tmp_path / "home", "export", "ledger")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing has been published yet" in done.stderr


def test_a_reader_that_has_had_enough_is_no_error(home: Path) -> None:
    pipe = f"{COMMAND} export ledger | head -c 10; exit ${{PIPESTATUS[0]}}"
    environment = {"WAREHOUSE_HOME": str(home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", pipe], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "entry_id,u")
    assert "Traceback" not in done.stderr
