"""dbt, driven in this process: its manifest for Dagster, and builds whose events become Dagster's.

In process because a run is seconds long: `dbt` as a process of its own costs 4 s of CPU to start, and
`DbtCliResource` starts two (one asks for the version) and loads the adapter here as well.
"""

import gc
import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import orjson
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.factory import cleanup_connections
from dbt.artifacts.schemas.results import NodeStatus
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from dbt_common.events.base_types import EventLevel, EventMsg
from dbt_common.events.functions import msg_to_dict
from filelock import FileLock

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.files import replace_bytes, replace_file, replace_text
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings

PROJECT = Path(__file__).parents[1] / "dbt_project"
# The packages that decide what a number is; the other rooms only decide when it is computed.
SEMANTIC_PACKAGES = ("dbt_project", "ingestion", "paywall_warehouse", "warehouse")
RELEASE_SECONDS = 30
DUCKDB = "duckdb"
# The variable that the project reads it from.
SCHEMA_PREFIX = "BUILD_SCHEMA_PREFIX"
FAILED = (NodeStatus.Error, NodeStatus.Fail, NodeStatus.RuntimeErr, NodeStatus.PartialSuccess)


class DbtError(Exception):
    """dbt could not do what it was asked to; the text is dbt's own."""


@cache
def code_version() -> str:
    """Return the version of the distribution and a digest of the code that decides what the numbers are."""
    return f"{version('paywall-warehouse')}+{_digest(*(PROJECT.parent / name for name in SEMANTIC_PACKAGES))[:12]}"


def _digest(*folders: Path) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            skipped = (
                path.name.startswith(".")
                or path.suffix == ".pyc"
                or path.relative_to(folder).parts[0] in ("target", "logs")
            )
            if not skipped and path.is_file():
                digest.update(f"{folder.name}/{path.relative_to(folder).as_posix()}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def dbt_arguments(project: Path, home: Home, target: str, *command: str) -> list[str]:
    """The arguments of a dbt call, with everything that dbt writes under the home."""
    return [
        *command,
        *("--target", target),
        *("--project-dir", str(project)),
        *("--profiles-dir", str(project)),
        # What dbt knows of a project it knows for one engine.
        *("--target-path", str(home.dbt_target if target == DUCKDB else home.dbt_target.with_name(target))),
        *("--log-path", str(home.dbt_logs)),
        *("--log-level", "none"),
        *("--log-level-file", "info"),
        "--no-use-colors",
        # Dagster reads the manifest while a build runs: `prepare_manifest` writes it, whole.
        "--no-write-json",
        "--no-send-anonymous-usage-stats",
    ]


def build_command(*, full_refresh: bool) -> list[str]:
    """Models and data tests; unit tests belong to the developer's machine."""
    return ["build", "--exclude-resource-type", "unit_test", *(["--full-refresh"] if full_refresh else [])]


@dataclass(frozen=True)
class NodeFailure:
    """A model that could not be built, or a test that found rows."""

    name: str
    message: str
    query: str | None

    def describe(self) -> str:
        """The failure in words, and the query to look further."""
        query = f"\nTo look further, where it was built:\n{self.query.strip()}" if self.query else ""
        return f"{self.name}: {self.message.strip()}{query}"


@dataclass
class DbtBuild:
    """What a build did, in the order in which it happened."""

    results: list[DbtCoreCliEventMessage] = field(default_factory=list)
    failures: list[NodeFailure] = field(default_factory=list)
    row_counts: dict[str, int] = field(default_factory=dict)
    """Rows of each built table, by the model's unique id."""

    @property
    def models(self) -> int:
        """How many models were built or tried."""
        return sum(result.raw_event["info"]["name"] == "LogModelResult" for result in self.results)

    @property
    def tests(self) -> int:
        """How many tests ran, of data and of units."""
        return sum(result.raw_event["info"]["name"] == "LogTestResult" for result in self.results)


# Projects that this process has parsed, by their digest: a parse costs 2 s and is the same for every home.
_manifests: dict[str, Manifest] = {}


@dataclass(frozen=True)
class Dbt:
    """The dbt project on one home, on the home's own build file or on a cluster."""

    settings: Settings
    project: Path = PROJECT
    target: str = DUCKDB
    """As dbt's profile names it."""
    schema_prefix: str = ""
    """Of a build on a cluster, what the names of its schemas begin with."""

    @property
    def home(self) -> Home:
        """The home that it builds in."""
        return self.settings.home

    def prepare_manifest(self) -> dict[str, Any]:
        """dbt's `manifest.json`, parsed again only when a file of the project has changed."""
        manifest, stamp = self.home.dbt_target / "manifest.json", self.home.dbt_target / "project.sha256"
        self.home.make()
        self.home.dbt_target.mkdir(parents=True, exist_ok=True)
        with FileLock(self.home.dbt_target / ".manifest.lock"):
            digest = self._digest()
            if not (manifest.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == digest):
                kept = self._kept(digest, "json")
                if kept.exists():
                    replace_bytes(manifest, kept.read_bytes())
                else:
                    parsed = self._parse(digest)
                    replace_file(manifest, lambda partial: parsed.write(str(partial)))  # type: ignore[no-untyped-call]
                    with suppress(OSError):
                        replace_bytes(kept, manifest.read_bytes())
                replace_text(stamp, digest)
            contents: dict[str, Any] = orjson.loads(manifest.read_bytes())
            return contents

    def build(
        self, manifest: Mapping[str, Any], command: Sequence[str], progress: Callable[[str], None]
    ) -> DbtBuild:
        """Run `dbt build`; `progress` hears of every finished model, and of every test that does not pass."""
        done = DbtBuild()
        lock = threading.Lock()

        def listen(message: EventMsg) -> None:
            if message.info.name not in ("LogModelResult", "LogTestResult"):
                return
            event = DbtCoreCliEventMessage(raw_event=msg_to_dict(message), event_history_metadata={})
            with lock:
                done.results.append(event)
                if line := _progress(event.raw_event):
                    progress(line)

        outcome = self._invoke(command, self._parsed(), listen)
        _let_go_of(self.home.build_file)
        for result in getattr(outcome.result, "results", []):
            if result.status in FAILED:
                name = f"{result.node.resource_type} {result.node.name}"
                done.failures.append(
                    NodeFailure(
                        name,
                        result.message or str(result.status),
                        getattr(result.node, "compiled_code", None),
                    )
                )
        if not outcome.success and not done.failures:
            raise DbtError(
                str(
                    outcome.exception
                    or f"dbt failed without saying why; see {self.home.dbt_logs / 'dbt.log'}"
                )
            )
        if self.target != DUCKDB:
            return done
        built = [
            manifest["nodes"][result.raw_event["data"]["node_info"]["unique_id"]]
            for result in done.results
            if _is_built(result)
        ]
        done.row_counts = self._row_counts(
            [node for node in built if node["config"]["materialized"] in ("table", "incremental")]
        )
        return done

    def operate(self, macro: str, **arguments: Any) -> None:
        """Run a macro by itself; raises `DbtError` where it fails."""
        said: list[str] = []

        def listen(message: EventMsg) -> None:
            if message.info.level == EventLevel.ERROR:
                said.append(msg_to_dict(message)["info"]["msg"])

        command = ["run-operation", macro, *(["--args", json.dumps(arguments)] if arguments else [])]
        outcome = self._invoke(command, self._parsed(), listen)
        _let_go_of(self.home.build_file)
        if not outcome.success:
            raise DbtError(
                "\n".join(said) or str(outcome.exception or f"dbt's macro {macro} failed without saying why")
            )

    def _parsed(self) -> Manifest | None:
        """What dbt need not parse again; None on a cluster, where the names of schemas are other ones each
        time.
        """
        return self._parse(self._digest()) if self.target == DUCKDB else None

    def _digest(self) -> str:
        versions = f"{version('dbt-core')} {version('dbt-duckdb')}"
        return hashlib.sha256(f"{versions} {self.project} {_digest(self.project)}".encode()).hexdigest()

    def _kept(self, digest: str, suffix: str) -> Path:
        """Where a parse of the project is kept, beside the project: for every home and every process of this
        installation.
        """
        return self.project / "target" / f"parsed-{digest[:16]}.{suffix}"

    def _parse(self, digest: str) -> Manifest:
        """The project as dbt parses it.

        Parsing takes 3 s, and so does dbt's own partial parsing, which looks for what the digest tells
        already; reading takes 0.2 s.
        """
        if digest in _manifests:
            return _manifests[digest]
        kept = self._kept(digest, "msgpack")
        # The other file is written last, and only a manifest that this process has parsed can be written as
        # that.
        if kept.exists() and self._kept(digest, "json").exists():
            _manifests[digest] = Manifest.from_msgpack(kept.read_bytes())
            return _manifests[digest]
        outcome = self._invoke(["parse"])
        if not isinstance(outcome.result, Manifest):
            raise DbtError(f"the dbt project cannot be parsed: {outcome.exception}")
        _manifests[digest] = outcome.result
        # An installation may be read-only; then every process parses.
        with suppress(OSError):
            replace_bytes(kept, outcome.result.to_msgpack())
        return outcome.result

    def _invoke(
        self,
        command: Sequence[str],
        manifest: Manifest | None = None,
        listen: Callable[[EventMsg], None] | None = None,
    ) -> dbtRunnerResult:
        token = self.settings.spark_token
        # By a name that tells dbt to keep it out of its logs.
        secrets = {"DBT_ENV_SECRET_SPARK_TOKEN": token.get_secret_value()} if token else {}
        with (
            in_environment(self.settings.tool_environment() | {SCHEMA_PREFIX: self.schema_prefix} | secrets),
            _plain_interrupts(),
        ):
            runner = dbtRunner(manifest=manifest, callbacks=[listen] if listen else [])
            outcome = runner.invoke(dbt_arguments(self.project, self.home, self.target, *command))
        if outcome.exception is not None and not isinstance(outcome.exception, Exception):
            raise outcome.exception
        return outcome

    def _row_counts(self, nodes: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        if not nodes:
            return {}
        with open_duckdb(self.home.build_file, read_only=True) as connection:
            return {
                node["unique_id"]: (
                    connection.execute(
                        f'select count(*) from "{node["schema"]}"."{node["alias"]}"'
                    ).fetchall()[0][0]
                )
                for node in nodes
            }


def _let_go_of(build_file: Path) -> None:
    """Wait until dbt's connections are gone: once in some 50 builds one outlived dbt, and DuckDB refuses the
    next opener.
    """
    cleanup_connections()  # type: ignore[no-untyped-call]
    DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
    deadline = time.monotonic() + RELEASE_SECONDS
    while build_file.exists():
        try:
            open_duckdb(build_file, read_only=True).close()
        except (duckdb.ConnectionException, duckdb.IOException):
            if time.monotonic() > deadline:
                raise
            gc.collect()
            time.sleep(0.1)
        else:
            return


@contextmanager
def in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """dbt's profile reads the environment."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _plain_interrupts() -> Iterator[None]:
    """dbt cancels its queries on KeyboardInterrupt, not on what Dagster raises instead."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_built(result: DbtCoreCliEventMessage) -> bool:
    return bool(
        result.raw_event["info"]["name"] == "LogModelResult" and result.raw_event["data"]["status"] != "error"
    )


def _progress(event: Mapping[str, Any]) -> str | None:
    node, data = event["data"]["node_info"], event["data"]
    if event["info"]["name"] == "LogModelResult":
        relation = node["node_relation"]
        failed = " FAILED" if data["status"] == "error" else ""
        return f"{relation['schema']}.{relation['alias']}{failed} ({data['execution_time']:.1f} s)"
    # The node's own status says `success` of a unit test that holds.
    if data["status"] in ("pass", "skipped"):
        return None
    return (
        f"{'warning' if data['status'] == 'warn' else 'FAILED'}: test {node['node_name']},"
        f" {data['num_failures']} rows"
    )
