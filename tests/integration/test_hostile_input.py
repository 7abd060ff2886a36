"""Whatever lands: no run ends over it, waits for ever or needs memory without bound; nothing leads out,
nothing is lost without a word.
"""

import gzip
import io
import os
import random
import socket
import subprocess
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from ingestion.lake.batches import Lake
from ingestion.landing.area import Landing
from ingestion.load import LoadResult
from ingestion.readers.csv_text import csv_rows
from ingestion.sources.stripe.coverage import facts_of
from paywall_warehouse.quoting import literal
from paywall_warehouse.settings import Settings, load_settings
from tests.fuzz.targets import TARGETS, corpus_of, target
from tests.support.builders import (
    Raw,
    charge,
    csv_text,
    deposit,
    jsonl,
    land,
    ledger_file,
    parquet,
    parquet_table,
)
from tests.support.harness import run_pipeline
from tests.support.ingestion import load
from tests.support.shared import in_soak

NOON = "2026-10-01T12:00:00Z"
MIB = 1 << 20
HEADER = b"id,timestamp,type,user,paywall,amount\n"
GOOD = jsonl([charge("good", NOON)])
GOOD_ROW = b"row,2026-10-01T12:00:00Z,charge,u,p,1\n"
CONSTANT = {"id": "a", "timestamp": NOON, "type": "charge", "user": "u", "paywall": "p", "amount": "1"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home whose ledger folder has one good file, which is loaded whatever lies beside it."""
    folder = tmp_path / "landing" / "ledger"
    folder.mkdir(parents=True)
    (folder / "good.jsonl").write_bytes(GOOD)
    return load_settings(_env_file=None, warehouse_home=tmp_path)


def at(settings: Settings, path: str) -> Path:
    place = settings.home.landing / path
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def rejects(settings: Settings, columns: str = "path, line, reason_code") -> list[tuple[Any, ...]]:
    files = Lake(settings.home).parquet_files("rejects", Lake(settings.home).manifests())
    listed = ", ".join(literal(str(file)) for file in files)
    return (
        duckdb.sql(f"select {columns} from read_parquet([{listed}]) order by all").fetchall() if files else []
    )


def entries(settings: Settings, columns: str) -> list[tuple[Any, ...]]:
    files = Lake(settings.home).parquet_files("ledger_entries", Lake(settings.home).manifests())
    listed = ", ".join(literal(str(file)) for file in files)
    return duckdb.sql(f"select {columns} from read_parquet([{listed}]) order by all").fetchall()


def assert_refused(settings: Settings, path: str, code: str) -> None:
    """The good file is loaded and this one is a reject as a whole; the next load has nothing to add to
    that.
    """
    result = load(settings, "ledger")
    assert (result.files, result.accepted, result.rejected) == (2, 1, 1)
    assert rejects(settings) == [(path, None, code)]
    assert load(settings, "ledger").batch_seq is None


@dataclass(frozen=True)
class LoadedFolder:
    """A folder that was loaded once for several tests, which only read."""

    settings: Settings
    result: LoadResult
    rejects: dict[str, list[tuple[int | None, str, str]]]
    """Line, code and reason of the rejects of each file that has any."""

    def counts(self, path: str) -> tuple[int, int]:
        """Return how many records of a file are accepted and rejected."""
        [file] = [
            file
            for manifest in Lake(self.settings.home).manifests()
            for file in manifest.files
            if file.path == path
        ]
        return file.accepted, file.rejected


def loaded_folder(home: Path, source: str, fill: Callable[[Settings], None]) -> LoadedFolder:
    """Load what `fill` lands, then once more: the next load has nothing to add."""
    settings = load_settings(_env_file=None, warehouse_home=home)
    fill(settings)
    result = load(settings, source)
    by_path: dict[str, list[tuple[int | None, str, str]]] = {}
    for path, line, code, reason in rejects(settings, "path, line, reason_code, reason"):
        by_path.setdefault(path, []).append((line, code, reason))
    assert load(settings, source).batch_seq is None
    return LoadedFolder(settings, result, by_path)


def gzipped(unit: bytes, mebibytes: int, start: bytes = b"") -> bytes:
    """So much of one text again and again, as gzip members of 64 MiB each."""
    block = unit * (MIB // len(unit))
    packer = zlib.compressobj(9, wbits=31)
    member = b"".join([packer.compress(block) for _ in range(64)] + [packer.flush()])
    return gzip.compress(start, mtime=0) + member * (mebibytes // 64)


def zstandard_frames(unit: bytes, mebibytes: int, **parameters: int) -> bytes:
    chosen = zstandard.ZstdCompressionParameters.from_level(1, **parameters)
    packer = zstandard.ZstdCompressor(compression_params=chosen).compressobj()
    frame = b"".join([packer.compress(unit * (MIB // len(unit))) for _ in range(64)] + [packer.flush()])
    return frame * (mebibytes // 64)


# ---- what is no file


def listening(path: Path) -> None:
    # A socket's path may have 107 characters.
    with socket.socket(socket.AF_UNIX) as heard, chdir(path.parent):
        heard.bind(path.name)


def link_beside_the_landing_area(path: Path) -> None:
    outside = path.parents[1].with_name("landing-of-others")
    outside.mkdir()
    (outside / "secret.jsonl").write_bytes(jsonl([charge("secret", NOON)]))
    path.symlink_to(outside / "secret.jsonl")


def nothing_but_holes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(4 << 40)


def a_hundred_thousand_columns(path: Path) -> None:
    many = b"".join(b",c%d" % number for number in range(100_000))
    path.write_bytes(HEADER.strip() + many + b"\n" + GOOD_ROW.strip() + b"," * 100_000 + b"\n")


def name_that_is_not_utf8(path: Path, placeholder: bytes) -> None:
    table = pa.table({name: [value] for name, value in CONSTANT.items()} | {"nameXX": ["x"]})
    path.write_bytes(parquet_table(table).replace(placeholder, b"\xff\xfe" + placeholder[2:]))


def with_column(path: Path, column: pa.Array) -> None:
    path.write_bytes(
        parquet_table(pa.table({**{name: [text] for name, text in CONSTANT.items()}, "foo": column}))
    )


NOT_UTF8 = pa.StringArray.from_buffers(
    1, pa.py_buffer(bytes([0, 0, 0, 0, 2, 0, 0, 0])), pa.py_buffer(b"\xff\xfe")
)
# What a file is, how it is made, and why it is a reject as a whole.
REFUSED: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "a pipe is never opened": ("pipe.jsonl", os.mkfifo, "not_a_file"),
    "a socket is never opened": ("socket.jsonl", listening, "not_a_file"),
    **{
        f"a link to {target_path} is not followed": (
            f"link to {target_path.replace('/', ' ')}.jsonl",
            partial(os.symlink, target_path),
            "outside_the_landing_area",
        )
        for target_path in ("/etc/passwd", "/dev/zero", "/etc", "/proc/self/environ")
    },
    "a link to a folder beside the landing area is not followed": (
        "beside.jsonl",
        link_beside_the_landing_area,
        "outside_the_landing_area",
    ),
    "a link to itself": ("itself.jsonl", partial(os.symlink, "itself.jsonl"), "unreadable_file"),
    "a link to nothing": ("dead.jsonl", partial(os.symlink, "nothing"), "unreadable_file"),
    "a file of nothing but holes is not read": ("holes.jsonl", nothing_but_holes, "decompression_bomb"),
    "a frame with a window of a gigabyte is not read": (
        "window.jsonl.zst",
        lambda path: path.write_bytes(zstandard_frames(b"x", 192, window_log=30)),
        "unreadable_file",
    ),
    "a header line without end": (
        "header.csv",
        lambda path: path.write_bytes(b'"' + b"x" * (3 * MIB)),
        "missing_column",
    ),
    "a hundred thousand columns": ("columns.csv", a_hundred_thousand_columns, "too_many_columns"),
    **{
        f"a Parquet column {placeholder.decode()} that is not UTF-8": (
            f"{placeholder.decode()}.parquet",
            partial(name_that_is_not_utf8, placeholder=placeholder),
            "unreadable_file",
        )
        for placeholder in (b"nameXX", b"amount")
    },
    "Parquet of the year 3170843": (
        "year.parquet",
        partial(with_column, column=pa.array([10**17], pa.timestamp("ms"))),
        "unreadable_file",
    ),
    "Parquet with invalid UTF-8": ("utf8.parquet", partial(with_column, column=NOT_UTF8), "unreadable_file"),
    "a Parquet column without a name": (
        "nameless.parquet",
        lambda path: path.write_bytes(parquet([charge("a", NOON, **{"": "x"})])),
        "missing_column",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> LoadedFolder:
    """All files that are refused as a whole, beside a good one, after one load."""

    def fill(settings: Settings) -> None:
        at(settings, "ledger/good.jsonl").write_bytes(GOOD)
        for name, make, _ in REFUSED.values():
            make(at(settings, f"ledger/{name}"))

    return loaded_folder(tmp_path_factory.mktemp("refused"), "ledger", fill)


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_must_not_be_read_is_one_reject(refused: LoadedFolder, what: str) -> None:
    name, _, code = REFUSED[what]
    [(line, found, _)] = refused.rejects[f"ledger/{name}"]
    assert (line, found) == (None, code)
    assert refused.counts(f"ledger/{name}") == (0, 1)


def test_a_good_file_is_loaded_whatever_lies_beside_it(refused: LoadedFolder) -> None:
    result = refused.result
    assert (result.files, result.accepted, result.rejected) == (len(REFUSED) + 1, 1, len(REFUSED))
    assert entries(refused.settings, "entry_id") == [("good",)]


@pytest.mark.parametrize("name", ["nameXX.parquet", "amount.parquet"])
def test_a_parquet_column_whose_name_is_not_utf8_is_called_so(refused: LoadedFolder, name: str) -> None:
    [(_, _, reason)] = refused.rejects[f"ledger/{name}"]
    assert "not UTF-8" in reason


def test_a_folder_of_the_landing_area_that_leads_out_is_not_followed(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.csv").write_bytes(b"x\n")
    at(settings, "payments").symlink_to(tmp_path / "elsewhere")
    assert load(settings, "payments").rejected == 1
    assert rejects(settings) == [("payments", None, "outside_the_landing_area")]


def test_links_in_a_circle_are_not_walked(settings: Settings) -> None:
    folder = settings.home.landing / "ledger"
    for name in ("one", "two"):
        (folder / name).symlink_to(folder)
    load(settings, "ledger")
    assert rejects(settings) == [("ledger/one", None, "not_a_file"), ("ledger/two", None, "not_a_file")]


def test_folders_a_thousand_deep_are_walked(settings: Settings) -> None:
    deep = settings.home.landing / "ledger"
    for _ in range(1500):
        deep /= "d"
        deep.mkdir()
    (deep / "a.jsonl").write_bytes(jsonl([charge("deep", NOON)]))
    try:
        assert load(settings, "ledger").accepted == 2
    finally:
        # pytest's own removal of old folders takes a frame of Python's stack for each.
        subprocess.run(["rm", "-rf", settings.home.landing / "ledger" / "d"], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_rights_is_reported(settings: Settings) -> None:
    closed = settings.home.landing / "ledger" / "closed"
    closed.mkdir(mode=0)
    assert_refused(settings, "ledger/closed", "unreadable_file")


# ---- names


NAMES = (
    b"a\nb",
    b"q'\"",
    b"p%41",
    b"{x,y}",
    b"[a-z]",
    b"**",
    b"x" * 240,
    b"~",
    b"a::b",
    b"#x",
    b"$HOME",
    b"batch=3",
    b"-- drop",
)


@pytest.mark.parametrize("form", ["parquet", *in_soak("jsonl")])
def test_any_name_is_one_file(settings: Settings, form: str) -> None:
    for number, name in enumerate(NAMES):
        record = [charge(f"n{number}", NOON)]
        with open(
            os.fsencode(settings.home.landing) + b"/ledger/" + name + b"." + form.encode(), "wb"
        ) as file:
            file.write(jsonl(record) if form == "jsonl" else parquet(record))
    assert load(settings, "ledger").accepted == 1 + len(NAMES)
    assert rejects(settings) == []


def test_a_name_is_shown_without_terminal_control_characters(settings: Settings) -> None:
    with open(os.fsencode(settings.home.landing) + b"/ledger/\x1b[31m\xff\x07\nx.txt", "wb") as file:
        file.write(b"x")
    load(settings, "ledger")
    assert rejects(settings, "path") == [(r"ledger/\x1b[31m\xff\x07\nx.txt",)]


def test_a_reason_is_shown_without_terminal_control_characters(settings: Settings) -> None:
    at(settings, "ledger/a.jsonl").write_bytes(jsonl([charge("a", NOON, "\u001b[2J1")]))
    at(settings, "ledger/b.csv").write_bytes(b"id,\x1b[2J\n")
    load(settings, "ledger")
    assert rejects(settings, "reason") == [
        (
            (
                r'columns "timestamp", "type", "paywall", "amount" are missing (found: id, \x1b[2J). Rename'
                r" the columns or see docs/inputs.md"
            ),
        ),
        ('field "amount" is not a decimal number: �[2J1',),
    ]


# ---- bombs


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("line_feeds.jsonl.gz", lambda: gzipped(b"\n", 1024)),
        ("one_line.jsonl.zst", lambda: zstandard_frames(b"x", 16384)),
        ("tiny_rows.csv.zst", lambda: zstandard.compress(HEADER) + zstandard_frames(b"a\n", 1024)),
        *in_soak(
            ("one_line.jsonl.gz", lambda: gzipped(b"x", 1024)),
            ("spaces.json.gz", lambda: gzipped(b" ", 1024)),
            ("quote.csv.gz", lambda: gzipped(b"x\n", 256, HEADER + b'"')),
            ("tiny_lines.jsonl.gz", lambda: gzipped(b"1\n", 256)),
            ("elements.json.gz", lambda: gzipped(b"{},", 128, b"[")),
            ("deep.json.gz", lambda: gzipped(b"[", 512)),
        ),
    ],
)
def test_a_bomb_is_one_reject(settings: Settings, name: str, packed: Callable[[], bytes]) -> None:
    content = packed()
    assert len(content) < 2 * MIB
    at(settings, f"ledger/{name}").write_bytes(content)
    assert_refused(settings, f"ledger/{name}", "decompression_bomb")


def test_what_repeats_itself_a_hundred_times_is_no_bomb(settings: Settings) -> None:
    line = jsonl([charge("same", NOON)])
    at(settings, "ledger/a.jsonl.gz").write_bytes(gzip.compress(line * 100_000, mtime=0))
    assert load(settings, "ledger").accepted == 100_001


def test_files_of_thousands_of_members_are_read_whole(settings: Settings) -> None:
    at(settings, "ledger/a.jsonl.gz").write_bytes(gzip.compress(jsonl([charge("g", NOON)]), mtime=0) * 20_000)
    at(settings, "ledger/b.jsonl.zst").write_bytes(
        zstandard.compress(b"") * 20_000 + zstandard.compress(jsonl([charge("z", NOON)]))
    )
    assert load(settings, "ledger").accepted == 20_002


def dictionary_bomb(path: Path, rows: int, **texts: str) -> None:
    """Every column is one text and so many references to it."""
    table = pa.table({
        name: pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), pa.array([text]))
        for name, text in (CONSTANT | texts).items()
    })  # fmt: skip
    pq.write_table(table, path, compression="zstd", row_group_size=rows)


@pytest.mark.parametrize(
    ("rows", "texts"),
    [(100_000, {"foo": "x" * MIB}), *in_soak((20_000_000, {}), (1, {"foo": "x" * (300 * MIB)}))],
    ids=["rows of a megabyte", "twenty million rows", "one page of 300 megabytes"],
)
def test_a_parquet_bomb_is_one_reject(settings: Settings, rows: int, texts: dict[str, str]) -> None:
    path = at(settings, "ledger/a.parquet")
    dictionary_bomb(path, rows, **texts)
    assert path.stat().st_size < MIB
    assert_refused(settings, "ledger/a.parquet", "decompression_bomb")


def test_a_bomb_needs_no_more_memory_than_a_small_file(settings: Settings) -> None:
    load(settings, "ledger")
    before, peak, done = psutil.Process().memory_info().rss, 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, psutil.Process().memory_info().rss)

    watcher = threading.Thread(target=watch)
    content = {"a.jsonl.zst": zstandard_frames(b"x", 4096), "b.csv.gz": gzipped(b"x", 512, HEADER + b'"')}
    for name, text in content.items():
        at(settings, f"ledger/{name}").write_bytes(text)
    watcher.start()
    assert load(settings, "ledger").rejected == 2
    done.set()
    watcher.join()
    assert peak - before < 200 * MIB


# ---- long and wide records


@pytest.mark.parametrize("start", [*in_soak(b""), b'"'], ids=["bare", "open quote"])
def test_a_row_of_100_megabytes_is_one_reject_and_costs_no_good_row(settings: Settings, start: bytes) -> None:
    at(settings, "ledger/a.csv").write_bytes(
        HEADER + GOOD_ROW + start + b"x" * (100 * MIB) + b"\n" + GOOD_ROW
    )
    result = load(settings, "ledger")
    assert (result.accepted, result.rejected) == (3, 1)
    assert rejects(settings, "line, reason_code, length(raw)") == [(3, "record_too_long", MIB)]


def test_a_quote_on_every_line_does_not_make_each_read_the_rest(settings: Settings) -> None:
    at(settings, "ledger/a.csv").write_bytes(HEADER + b'a","c\n' * 20_000 + GOOD_ROW)
    started = time.monotonic()
    result = load(settings, "ledger")
    assert (result.accepted, result.rejected) == (2, 20_000)
    assert time.monotonic() - started < 10, (
        "20,000 lines each of which reads 20,000 further ones take minutes"
    )


def test_a_parquet_row_of_more_than_a_megabyte_is_one_reject(settings: Settings) -> None:
    rows = [charge("short", NOON), charge("long", NOON, foo="x" * (2 * MIB))]
    at(settings, "ledger/a.parquet").write_bytes(parquet(rows))
    result = load(settings, "ledger")
    assert (result.accepted, result.rejected) == (2, 1)
    ((line, code, raw),) = rejects(settings, "line, reason_code, raw")
    assert (line, code) == (2, "record_too_long")
    assert '"id":"long"' in raw


def test_long_rows_are_read_a_few_at_a_time() -> None:
    row = b"row," + b"x" * (MIB - 10) + b"\n"
    batches = csv_rows(io.BytesIO(b"id,user\n" + row * 40), 0, ("id", "user"))
    rows = [batch.num_rows for batch in batches]
    assert sum(rows) == 40
    assert max(rows) <= 9


def test_long_odd_rows_are_read_a_few_at_a_time() -> None:
    row = b'row,"' + b"x" * (MIB - 20) + b'"y\n'
    batches = csv_rows(io.BytesIO(b"id,user\n" + row * 40), 0, ("id", "user"))
    rows = [batch.num_rows for batch in batches]
    assert sum(rows) == 40
    assert max(rows) <= 17


@pytest.mark.soak
def test_a_ledger_of_long_metadata_is_loaded_within_the_memory_limit(settings: Settings) -> None:
    """15,000 records of 64 kB are 960 MB; their groups in Parquet once needed more than DUCKDB_MEMORY_LIMIT,
    and the run ended.
    """
    with at(settings, "ledger/a.jsonl").open("wb") as file:
        for number in range(15_000):
            file.write(jsonl([charge(f"e{number}", NOON, metadata={"n": f"{number:060d}" + "x" * 64_000})]))
    assert load(settings, "ledger").accepted == 15_001


def test_strangers_in_the_lake_end_no_load(settings: Settings) -> None:
    load(settings, "ledger")
    manifests = settings.home.lake / "_manifests"
    (manifests / "00000000 copy.json").write_text("{}")
    (manifests / "._00000000.json").write_bytes(b"\0")
    (settings.home.lake / "ledger_entries" / "batch=00000009").write_text("no folder")
    at(settings, "ledger/b.jsonl").write_bytes(jsonl([charge("b", NOON)]))
    assert load(settings, "ledger").accepted == 1


# ---- odd content


LONE = (
    b'{"id":"\\ud800","timestamp":"2026-10-01T12:00:00Z","type":"charge",'
    b'"user":"u","paywall":"p","amount":"1"}\n'
)


MEANINGLESS = [
    (LONE, "invalid_json"),
    (GOOD.replace(b"good", b"g\xffd"), "invalid_utf8"),
    (GOOD.replace(b"good", b"g\x00d"), "invalid_json"),
    (b"\xef\xbb\xbf" + GOOD, "invalid_json"),
    (GOOD[:-2] + b', "amount": 2}\n', "duplicate_field"),
    (jsonl([charge("a", NOON, Raw("1e999999999"))]), "amount_too_large"),
    (jsonl([charge("a", NOON, Raw("1e-99"))]), "too_many_decimals"),
    (jsonl([charge("a", NOON, "1" * 500_000)]), "amount_too_large"),
    (jsonl([charge("a", "0000-01-01T00:00:00Z")]), "time_out_of_range"),
    (jsonl([charge("a", "9999-12-31T23:59:59Z")]), "time_out_of_range"),
    (jsonl([charge("a", "99999-01-01T00:00:00Z")]), "bad_time"),
    (jsonl([charge("a", "2016-12-31T23:59:61Z")]), "bad_time"),
    (b"[" * 1_000_000 + b"\n", "invalid_json"),
]
DEEP = {"lists": ("[", "]"), "objects": ('{"a":', "}")}
PARTITIONS = ("user=evil", "file_no=9", "batch=3", "date=x")
COLUMN_NAMES = (
    "text", "raw", "line", "file_no", "problem", "beginnings", "a\"b'; drop table x; --", "filename",
)  # fmt: skip


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> LoadedFolder:
    """Files with odd content, after one load."""

    def fill(settings: Settings) -> None:
        for number, (line, _) in enumerate(MEANINGLESS):
            before, after = (GOOD.replace(b"good", b"%s" % word) for word in (b"before", b"after"))
            at(settings, f"ledger/meaningless {number}.jsonl").write_bytes(before + line + after)
        for field in ("metadata", "foo"):
            for shape, (opening, closing) in DEEP.items():
                deep = Raw('{"a":' + opening * 100_000 + "1" + closing * 100_000 + "}")
                at(settings, f"ledger/{field} of {shape}.jsonl").write_bytes(
                    jsonl([charge("deep", NOON, **{field: deep}), charge("flat", NOON)])
                )
        at(settings, "ledger/zero.jsonl").write_bytes(
            jsonl([charge("zero a", NOON, Raw("-0")), charge("zero b", NOON, Raw("-0.0e999999999"))])
        )
        for folder in PARTITIONS:
            at(settings, f"ledger/{folder}/a.parquet").write_bytes(
                parquet([charge(f"in {folder}", NOON, user="alice")])
            )
        for number, name in enumerate(COLUMN_NAMES):
            at(settings, f"ledger/column {number}.parquet").write_bytes(
                parquet([charge(f"column {number}", NOON, **{name: "kept"})])
            )

    return loaded_folder(tmp_path_factory.mktemp("odd"), "ledger", fill)


@pytest.mark.parametrize("field", ["metadata", "foo"])
@pytest.mark.parametrize("shape", DEEP)
def test_json_a_hundred_thousand_deep_ends_no_run(odd: LoadedFolder, field: str, shape: str) -> None:
    path = f"ledger/{field} of {shape}.jsonl"
    accepted, rejected = odd.counts(path)
    assert accepted + rejected == 2
    assert [(line, code) for line, code, _ in odd.rejects.get(path, [])] == (
        [(1, "metadata_too_large")] if field == "metadata" else []
    )


@pytest.mark.parametrize(("number", "code"), [(number, code) for number, (_, code) in enumerate(MEANINGLESS)])
def test_a_record_that_means_nothing_is_one_reject(odd: LoadedFolder, number: int, code: str) -> None:
    path = f"ledger/meaningless {number}.jsonl"
    assert odd.counts(path) == (2, 1)
    assert [(line, found) for line, found, _ in odd.rejects[path]] == [(2, code)]


def test_minus_zero_is_zero(odd: LoadedFolder) -> None:
    found = dict(entries(odd.settings, "entry_id, amount"))
    assert (found["zero a"], found["zero b"]) == (Decimal(0), Decimal(0))


def test_a_folder_that_looks_like_a_partition_says_nothing_about_records(odd: LoadedFolder) -> None:
    found = dict(entries(odd.settings, "entry_id, user_id"))
    assert [found[f"in {folder}"] for folder in PARTITIONS] == ["alice"] * len(PARTITIONS)


@pytest.mark.parametrize("number", range(len(COLUMN_NAMES)), ids=COLUMN_NAMES)
def test_a_parquet_column_may_have_any_name(odd: LoadedFolder, number: int) -> None:
    metadata = dict(entries(odd.settings, "entry_id, metadata"))[f"column {number}"]
    assert '"kept"' in metadata


# ---- beside Stripe's files


ACTIVITY = "stripe/balance_change_from_activity.itemized.7"
SIDECARS = {
    "deep": b"[" * 1_000_000,
    "no UTF-8": b"\xff",
    "empty": b"{}",
    "a list": b"[]",
    "long": b"x" * (10 * MIB),
    "a number without end": b'{"parameters":{"interval_start":1e400}}',
}
SPANS = ("0001-01-01_to_9999-12-31_America-Toronto", "0001-01-01_to_0001-01-02_Asia-Tokyo")


def activity(transaction: str) -> bytes:
    return csv_text(
        [
            {
                "balance_transaction_id": transaction,
                "created_utc": "2026-10-01 12:00:00",
                "currency": "usd",
                "gross": "1",
                "fee": "0",
                "net": "1",
                "reporting_category": "charge",
                "charge_id": "ch_1",
                "payment_intent_id": "pi_1",
            }
        ]
    )


@pytest.fixture(scope="module")
def of_stripe(tmp_path_factory: pytest.TempPathFactory) -> LoadedFolder:
    """Reports with odd sidecars and names, after one load."""

    def fill(settings: Settings) -> None:
        for name, sidecar in SIDECARS.items():
            at(settings, f"{ACTIVITY}/{name}.csv").write_bytes(activity(name))
            at(settings, f"{ACTIVITY}/.{name}.csv.run.json").write_bytes(sidecar)
        at(settings, f"{ACTIVITY}/pipe.csv").write_bytes(activity("pipe"))
        os.mkfifo(at(settings, f"{ACTIVITY}/.pipe.csv.run.json"))
        for days in SPANS:
            at(settings, f"{ACTIVITY}/itemized_{days}.csv").write_bytes(activity(days))

    home = tmp_path_factory.mktemp("stripe")
    return loaded_folder(home, "stripe/balance_change_from_activity.itemized", fill)


@pytest.mark.parametrize("name", SIDECARS)
def test_a_sidecar_that_is_none_of_ours_is_passed_over(of_stripe: LoadedFolder, name: str) -> None:
    assert of_stripe.counts(f"{ACTIVITY}/{name}.csv") == (1, 0)


def test_a_pipe_for_a_sidecar_is_not_waited_for(of_stripe: LoadedFolder) -> None:
    assert of_stripe.counts(f"{ACTIVITY}/pipe.csv") == (1, 0)


@pytest.mark.parametrize("days", SPANS)
def test_a_span_at_the_ends_of_the_calendar_says_nothing(of_stripe: LoadedFolder, days: str) -> None:
    path = f"{ACTIVITY}/itemized_{days}.csv"
    landing = Landing.of(of_stripe.settings)
    [file] = [file for file in landing.files("stripe") if file.path == path]
    assert facts_of(landing, file).covered_from is None
    assert of_stripe.counts(path) == (1, 0)


# ---- a whole run

SQL = "'); drop table fct_ledger_entries; --"
JINJA = "{{ env_var('HOME') }}{% raw %}"
HTML = "<script>alert(1)</script>"
FORMULA = "=cmd|' calc'!A0"
ESCAPES = "\u001b[31mred\u0007"


def test_texts_that_look_like_code_come_out_of_the_marts_as_they_went_in(tmp_path: Path) -> None:
    texts = (SQL, JINJA, HTML, FORMULA, ESCAPES)
    records = [
        deposit(f"d {text}", NOON, "10", user=text, paywall=text, metadata={"reason": text, "rail": text})
        for text in texts
    ]
    records += [
        charge(f"c {text}", NOON, "2.5", user=text, paywall=text, model=text, metadata={text: text})
        for text in texts
    ]
    land(tmp_path, [ledger_file("a.jsonl", records)])
    result = run_pipeline(tmp_path, as_of="2026-10-02")
    assert result.exit_code == 0, result
    assert not {character for character in result.output if ord(character) < 32} - {"\n"}
    with duckdb.connect(str(tmp_path / "published" / "warehouse.duckdb"), read_only=True) as connection:
        kept = connection.execute(
            "select entry_id, user_id, paywall_id, model_id from marts.fct_ledger_entries"
        ).fetchall()
        assert sorted(kept, key=str) == sorted(
            [(f"d {text}", text, text, None) for text in texts]
            + [(f"c {text}", text, text, text) for text in texts],
            key=str,
        )
        # A wallet each: 10 in, 2.5 out.
        wallets = connection.execute("select user_id, closing_balance from marts.fct_wallet_days").fetchall()
        assert sorted(wallets) == sorted((text, Decimal("7.5")) for text in texts)
        assert connection.execute("select sum(revenue) from marts.fct_daily_revenue").fetchall() == [
            (Decimal("12.5"),)
        ]
        assert connection.execute(
            "select count(*) from marts.fct_ledger_entries where metadata ->> $1 = $1", [SQL]
        ).fetchall() == [(1,)]


# ---- the corpus


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_fuzzer_found_keeps_every_promise(name: str) -> None:
    fuzzed = target(name)
    for path in corpus_of(name):
        fuzzed.take(path.read_bytes())
    fuzzed.flush()


@pytest.mark.parametrize("rounds", [1, *in_soak(8)])
def test_damaged_parquet_is_refused_or_read_whole(rounds: int) -> None:
    """Bytes of good and odd files are changed, most of them in the footer: the same ones in every run."""
    chance = random.Random(24)
    seeds = [content for path in corpus_of("ledger_parquet") if len(content := path.read_bytes()) > 100]
    fuzzed = target("ledger_parquet")
    for content in seeds:
        for _ in range(rounds):
            changed = bytearray(content)
            for _ in range(chance.choice([1, 2, 5])):
                changed[chance.randrange(max(4, len(changed) - 700), len(changed) - 8)] = chance.choice(
                    [0, 0x80, 0xFF, chance.randrange(256)]
                )
            fuzzed.take(bytes(changed))
    fuzzed.flush()
