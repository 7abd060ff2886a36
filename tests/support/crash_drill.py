"""Runs that are killed: data that keeps landing, SIGKILL for the whole process group in a stage of a run, and
what must hold afterwards.

`Drill` is one home; `outcome` is what two homes are compared by, `faults_of_readers` and `left_overs` what
may never be seen.
"""

import csv
import gzip
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from paywall_warehouse.home import Home
from tests.support.builders import Raw, Record, charge, deposit, event, events_file, ledger_file, refund
from tests.support.command import COMMAND, environment
from tests.support.oracle import LandedFile
from tests.support.payment_builders import payments_file, rail_payment
from tests.support.warm_start import WarmCommand

AS_OF = "2026-11-24T12:00:00Z"
PATIENCE = 240
# What a run goes through, and how long each of it lasts, in seconds: a kill falls anywhere within.
STAGES = {
    "start": 5.0,
    "pull": 4.0,
    "ingest": 1.0,
    "plan": 0.5,
    "build": 5.0,
    "check": 0.7,
    "publish": 0.2,
    "export": 1.5,
    "catalog": 2.2,
    "end": 0.3,
}
ORDER = tuple(STAGES)


# ---- what lands


class Ledger:
    """A business that goes on: each call of `more` lands new entries, late versions, webhooks, payments, and
    a few bad records.
    """

    def __init__(self, seed: int, landing: Path) -> None:
        self._random = random.Random(seed)
        self._landing = landing
        self._known: list[Record] = []
        self._numbers = count()
        self._landed_at = datetime(2026, 10, 1, tzinfo=UTC)

    def more(self) -> None:
        """Land one round of files."""
        number = next(self._numbers)
        kind = self._random.choice(("jsonl", "csv", "parquet", "jsonl.gz", "csv.zst"))
        entries = self._entries(number)
        bad: list[Any] = [charge(f"bad-{number}", "yesterday")]
        if kind == "jsonl":
            bad.append(Raw("not a record"))
        payment = rail_payment("paypal", f"P-{number}", self._at(), "7.5")
        usage = event(
            f"evt-{number}",
            "usage.charge.created",
            self._at(),
            activityId=f"act-{number}",
            walletUserId="w",
            cost="0.25",
            model="acme/x",
        )
        self._land(ledger_file(f"{number:03d}.{kind}", [*entries, *bad]))
        self._land(events_file(f"{number:03d}.jsonl", [usage, *([Raw("{")] if number % 3 == 0 else [])]))
        if number % 2:
            self._land(payments_file(f"{number:03d}.csv", [payment]))

    def _entries(self, number: int) -> list[Record]:
        paid = deposit(
            f"d{number}",
            self._at(),
            "7.5",
            user=f"u{number % 3}",
            metadata={"rail": "paypal", "payment_id": f"P-{number}"},
        )
        new = [
            charge(f"c{number}-{n}", self._at(), self._amount(), user=f"u{n % 5}", model="acme/x")
            for n in range(12)
        ]
        back = [refund(f"r{number}", self._at(), "0.01", of=f"c{number}-1")]
        late = [self._later(one) for one in self._random.sample(self._known, min(4, len(self._known)))]
        self._known += [paid, *new]
        return [paid, *new, *back, *late]

    def _later(self, known: Record) -> Record:
        """Another version of an entry; one that ties with what was said before wins, for it lands later."""
        said_at = known.get("updated_at", known["timestamp"])
        if self._random.random() < 0.7:
            said_at = (
                datetime.fromisoformat(said_at.replace("Z", "+00:00")) + timedelta(hours=1)
            ).isoformat()
        version = known | {
            "updated_at": said_at,
            "amount": self._amount(),
            "status": self._random.choice(("settled", "failed", "reversed")),
        }
        self._known[self._known.index(known)] = version
        return version

    def _at(self) -> str:
        moment = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=self._random.randrange(20 * 86400))
        return moment.isoformat().replace("+00:00", "Z")

    def _amount(self) -> str:
        return f"{self._random.randrange(10)}.{self._random.randrange(10**12):012d}"

    def _land(self, file: LandedFile) -> None:
        path = self._landing / file.folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        # Files that land one after the other keep that order where they are loaded together.
        self._landed_at += timedelta(seconds=1)
        os.utime(path, (self._landed_at.timestamp(),) * 2)


# ---- kills


@dataclass
class Figures:
    """What a drill did."""

    kills: Counter[str] = field(default_factory=Counter)
    """By the stage that they fell in."""
    starts: int = 0
    ends: int = 0
    """Runs that came to their end, killed too late or not at all."""
    comparisons: int = 0
    differences: int = 0

    def table(self) -> str:
        """For people."""
        rows = [(f"killed in {stage}", self.kills[stage]) for stage in ORDER]
        rows += [("kills", self.kills.total()), ("starts", self.starts), ("runs that ended", self.ends)]
        rows += [("comparisons", self.comparisons), ("differences", self.differences)]
        return "\n".join(f"{name:<18}{value:>6}" for name, value in rows)


class Drill:
    """One home whose runs are killed."""

    def __init__(self, folder: Path, seed: int, figures: Figures) -> None:
        self.home = Home(folder / "home")
        self.ledger = Ledger(seed, self.home.landing)
        self.figures = figures
        self._output = folder / "output"

    def run(
        self, stage: str | None = None, delay: float = 0, *, warm: bool = False, **variables: str
    ) -> int | None:
        """Start a run and kill it once it has been in a stage for `delay` seconds; None: it was killed, else
        its exit code.

        A `warm` one is a fork that has imported everything.
        """
        self.figures.starts += 1
        before = _identity(self.home.published_file)
        settings = environment(self.home.root, AS_OF=AS_OF, MAX_REJECT_RATIO="1", **variables)
        running = self._start(settings, warm=warm)
        pulls = "STRIPE_API_KEY" in variables

        def seen() -> str:
            return stage_of(self.home, self.output, before, pulls=pulls)

        deadline, wanted = time.monotonic() + PATIENCE, ORDER.index(stage or "end")
        while running.poll() is None and (stage is None or ORDER.index(seen()) < wanted):
            if time.monotonic() > deadline:
                kill_group(running.pid)
                raise AssertionError(f"the run hangs: {self.output}")
            time.sleep(0.003)
        try:
            return running.wait(delay)
        except subprocess.TimeoutExpired:
            kill_group(running.pid)
        running.wait()
        self.figures.kills[seen()] += 1
        return None

    def _start(self, settings: Mapping[str, str], *, warm: bool) -> subprocess.Popen[bytes]:
        self._output.unlink(missing_ok=True)
        start, words = (WarmCommand, ["run"]) if warm else (subprocess.Popen, [COMMAND, "run"])
        with self._output.open("wb") as output:
            return start(words, env=settings, stdout=output, stderr=output, start_new_session=True)

    @property
    def output(self) -> str:
        """What the last run has said."""
        return self._output.read_text(encoding="utf-8", errors="replace")


def kill_group(leader: int) -> None:
    """SIGKILL for a process and all that it has started."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:  # it has not come to lead a group yet, or has just ended
        with suppress(ProcessLookupError):
            os.kill(leader, signal.SIGKILL)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        return file.stat().st_ino, file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def stage_of(home: Home, said: str, published_before: object, *, pulls: bool) -> str:
    """How far a run is, by what it has said and what lies in its home."""
    is_replaced = _identity(home.published_file) != published_before
    if "\nPublished: " in said or "\nNothing new: " in said:
        return "end"
    if "✓ export wallet days" in said:
        return "catalog"
    if "✓ check, publish" in said or "✓ export" in said:
        return "export"
    if "✓ build" in said:
        return "publish" if is_replaced or list(home.published_file.parent.glob(".*.partial")) else "check"
    if "✓ plan" in said:
        return "build"
    if "✓ price book" in said:
        return "plan"
    if re.search("✓ (ledger|events|prices|payments|load)", said):
        return "ingest"
    if (home.root / "state" / "running.json").exists():
        return "pull" if pulls else "ingest"
    return "start"


# ---- what must hold


def faults_of_readers(home: Home) -> list[str]:
    """What a reader would stumble over at this moment: a published file that is not whole, an export that
    names what is not there.
    """
    return [*_published_faults(home), *_export_faults(home.exports / "v1")]


def _published_faults(home: Home) -> Iterator[str]:
    if not home.published_file.exists():
        return
    with duckdb.connect(str(home.published_file), read_only=True) as connection:

        def ask(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query).fetchall()

        last = "run_id = (select run_id from ops.runs order by rowid desc limit 1)"
        if not ask(f"select 1 from ops.runs where {last} and status = 'published'"):
            yield "the last run of the published file did not publish"
        yield from (
            f"published though {name} failed"
            for (name,) in ask(
                f"select name from ops.invariants where {last} and not passed and severity <> 'warn'"
            )
        )
        if not ask(f"select 1 from ops.invariants where {last}"):
            yield "published without a check"
        if ask(
            "select schema_name from duckdb_schemas() where database_name = current_database() and not"
            " internal"
        ) != [
            ("marts",),
            ("ops",),
        ]:
            yield "the published file was not trimmed"
        # The same money in two tables: an interrupted build would leave tables of two different states.
        entries, days = (
            ask(f"select coalesce(sum(revenue), 0) from marts.{table}")
            for table in ("fct_ledger_entries", "fct_daily_revenue")
        )
        if entries != days:
            yield f"revenue of the entries is {entries}, that of the days {days}"
        records = ask(
            "select coalesce(sum(records - rejected), 0) from ops.loaded_files where source = 'ledger'"
        )
        if records < ask("select count(*) from marts.fct_ledger_entries where source = 'ledger'"):
            yield "entries of files that nobody loaded"


def _export_faults(root: Path) -> Iterator[str]:
    catalog = root / "catalog.json"
    named = (
        [root / one["manifest"] for one in json.loads(catalog.read_bytes())["datasets"]]
        if catalog.exists()
        else []
    )
    for manifest in sorted({*named, *root.glob("*/manifest.json")}):
        if not manifest.exists():
            yield f"{manifest} is named and not there"
            continue
        for partition in json.loads(manifest.read_bytes())["partitions"]:
            for file in partition["files"]:
                path = manifest.parent / file["path"]
                if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != file["sha256"]:
                    yield f"{path} is not what its manifest names"


def left_overs(home: Home) -> list[str]:
    """What no run may leave behind that has come to its end."""
    endings = (".partial", ".tmp", ".ahead", ".wal", ".accepted")
    found = [str(path) for path in home.root.rglob("*") if path.name.endswith(endings)]
    found += [str(path) for path in home.tmp.rglob("*") if path.is_file()]
    state = home.root / "state"
    unwanted = (
        home.build_file,
        state / "unfinished_build",
        state / "running.json",
        home.exports / ".staging",
    )
    found += [str(path) for path in (*unwanted, *(state / "stripe").rglob("*.json")) if path.exists()]
    committed = {f"batch={file.stem}" for file in (home.lake / "_manifests").glob("*.json")}
    found += [str(folder) for folder in home.lake.glob("*/batch=*") if folder.name not in committed]
    for lock in (home.run_lock, FileLock(home.root / ".writer.lock")):
        try:
            lock.acquire(blocking=False)
            lock.release()
        except Timeout:
            found.append(f"{lock.lock_file} is held")
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        found += [
            f"Dagster shows {run.run_id} as {run.status.value}"
            for run in instance.get_runs()
            if not run.is_finished
        ]
        slots = instance.event_log_storage.get_concurrency_info("writer")
        found += [
            f"Dagster's pool is held by {step.run_id}"
            for step in (*slots.claimed_slots, *slots.pending_steps)
        ]
    return found


# ---- what is compared


def undisturbed(home: Home, place: Path) -> Home:
    """A home in which the same files have landed, but for what Stripe's API brought, and nothing has
    run yet.
    """
    own = shutil.ignore_patterns("stripe") if (home.root / "state" / "stripe").exists() else None
    shutil.copytree(home.landing, place / "landing", ignore=own)
    return Home(place)


def outcome(home: Home) -> dict[str, list[str]]:
    """What a home shows: every mart, the files, the rejects, and the exports by dataset and day."""
    found = dict(tables(home))
    for manifest in sorted((home.exports / "v1").glob("*/manifest.json")):
        for partition in json.loads(manifest.read_bytes())["partitions"]:
            rows = [
                row for file in partition["files"] for row in _exported_rows(manifest.parent / file["path"])
            ]
            found[f"exports/{manifest.parent.name}/{partition['date']}"] = [
                f"{partition['rows']} rows, {partition['totals']}",
                *sorted(rows),
            ]
    return found


def tables(home: Home, selections: Mapping[str, str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """Every mart, the files and the rejects as sorted text, without the columns of when something was done;
    `selections` replaces the queries of tables.
    """
    with duckdb.connect(str(home.published_file), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        marts = [
            f"marts.{name}"
            for (name,) in connection.execute(
                "select table_name from duckdb_tables() where schema_name = 'marts'"
            ).fetchall()
        ]
        selected = {
            **{table: f"from {table}" for table in marts},
            # A home that has published more often has seen breaks come, go and come again which no single run
            # knows of.
            "marts.fct_reconciliation_history": (
                "select case_id, break_type, priority from marts.fct_reconciliation_history"
                " where closed_at is null"
            ),
            "ops.loaded_files": "select * exclude (loaded_at, batch_seq) from ops.loaded_files",
            "ops.rejected_records": "select * exclude (first_seen_at, batch_seq) from ops.rejected_records",
            **(selections or {}),
        }
        for table, query in selected.items():
            rows = connection.execute(f"select cast(columns(*) as varchar) from ({query})").fetchall()
            # Stripe numbers its reports anew for each home.
            yield table, sorted(re.sub(r"-frr_\w+\.csv", ".csv", str(row)) for row in rows)


def _exported_rows(file: Path) -> list[str]:
    if file.suffix == ".parquet":
        return [f"parquet {row}" for row in pq.read_table(file).to_pylist()]
    return [f"csv {row}" for row in csv.reader(io.StringIO(gzip.decompress(file.read_bytes()).decode()))]


def differences(expected: dict[str, list[str]], found: dict[str, list[str]]) -> list[str]:
    """Each table and export that differs, with its first rows on one side only."""
    lines = []
    for name in sorted(expected.keys() | found.keys()):
        wanted, seen = Counter(expected.get(name, [])), Counter(found.get(name, []))
        if wanted != seen:
            lines.append(
                f"{name}\n  missing: {list((wanted - seen).elements())[:3]}\n  too many:"
                f" {list((seen - wanted).elements())[:3]}"
            )
    return lines
