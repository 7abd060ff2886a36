"""dbt in this process: its manifest for Dagster, and builds whose events become Dagster's.

A run takes seconds, and a `dbt` process of its own takes 4 s of CPU to start. `DbtCliResource` starts two of
them (one reads the version), and loads the adapter in this process as well.
"""

import hashlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.factory import cleanup_connections
from dbt.artifacts.schemas.results import NodeStatus
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from dbt_common.events.base_types import BaseEvent, EventLevel, EventMsg
from dbt_common.events.event_manager import EventManager
from dbt_common.events.event_manager_client import ctx_set_event_manager
from dbt_common.events.functions import msg_to_dict
from filelock import FileLock

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.files import replace_bytes, replace_file, replace_text
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from warehouse.code_version import folders_digest

PROJECT = Path(__file__).parents[1] / "dbt_project"
SHOWN_CHARACTERS = 4000
DUCKDB = "duckdb"
# The environment variable from which the project reads the prefix of its schemas.
SCHEMA_PREFIX = "BUILD_SCHEMA_PREFIX"
FAILED = (NodeStatus.Error, NodeStatus.Fail, NodeStatus.RuntimeErr, NodeStatus.PartialSuccess)


class DbtError(Exception):
    """A dbt command failed. The text is dbt's own."""


def dbt_arguments(project: Path, home: Home, target: str, *command: str) -> list[str]:
    """Return the arguments of a dbt call. Everything that dbt writes is under the home."""
    return [
        *command,
        *("--target", target),
        *("--project-dir", str(project)),
        *("--profiles-dir", str(project)),
        # A folder per engine, because dbt's state of a project is valid for one engine only.
        *("--target-path", str(home.dbt_target if target == DUCKDB else home.dbt_target.with_name(target))),
        *("--log-path", str(home.dbt_logs)),
        *("--log-level", "none"),
        *("--log-level-file", "info"),
        "--no-use-colors",
        # Dagster reads the manifest while a build runs, so only `prepare_manifest` writes it, atomically.
        "--no-write-json",
        "--no-send-anonymous-usage-stats",
    ]


def build_command(*, full_refresh: bool) -> list[str]:
    """Return the command that builds models and runs data tests. Unit tests run on developers' machines."""
    return ["build", "--exclude-resource-type", "unit_test", *(["--full-refresh"] if full_refresh else [])]


@dataclass(frozen=True)
class NodeFailure:
    """A model that could not be built, or a test that failed."""

    name: str
    message: str
    query: str | None
    rows: int | None = None
    """The number of rows that violate a test. None for a model, and for a test that could not run."""
    compiled_file: str | None = None
    """The file with the query."""

    def describe(self) -> str:
        """Return the failure as text, with the query for further investigation."""
        return f"{self.name}: {shortened(self.message.strip())}{self._shown_query()}"

    def _shown_query(self) -> str:
        if not self.query:
            return ""
        query = self.query.strip()
        if len(query) > SHOWN_CHARACTERS and self.compiled_file:
            return f"\nTo look further, where it was built: the query in {self.compiled_file}"
        return f"\nTo look further, where it was built:\n{shortened(query)}"


def shortened(text: str) -> str:
    """Return a text with at most `SHOWN_CHARACTERS`, which Dagster keeps with the failure."""
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


@dataclass
class DbtBuild:
    """The results of a build, in the order of its events."""

    results: list[DbtCoreCliEventMessage] = field(default_factory=list)
    failures: list[NodeFailure] = field(default_factory=list)
    row_counts: dict[str, int] = field(default_factory=dict)
    """The number of rows of each built table, by the model's unique id."""
    unused: list[str] = field(default_factory=list)
    """The unique ids of the models that were not built, because their tables are empty and stay so."""

    @property
    def models(self) -> int:
        """The number of models that were built or failed."""
        return sum(result.raw_event["info"]["name"] == "LogModelResult" for result in self.results)

    @property
    def tests(self) -> int:
        """The number of data and unit tests that ran."""
        return sum(result.raw_event["info"]["name"] == "LogTestResult" for result in self.results)


# The projects that this process has parsed or read, by their digest.
_manifests: dict[str, Manifest] = {}


@dataclass(frozen=True)
class Dbt:
    """The dbt project of one home, for the home's build file or for a cluster.

    A parsed project is cached beside the project, for all homes and processes of the installation. dbt's own
    partial parsing does not replace that cache: its file is valid for one profile, and the profile names the
    home. CPU seconds, with dbt 1.11.16, without the imports:

    | | cache | dbt's partial parsing |
    |---|---|---|
    | new process, new home | 0.3 | 3.0 |
    | new process, known home | 0.3 | 0.75 |
    | second call in a process | 0.03 | 0.3 |
    """

    settings: Settings
    project: Path = PROJECT
    target: str = DUCKDB
    """The name of the engine in dbt's profile."""
    schema_prefix: str = ""
    """The prefix of the schema names of a build on a cluster."""

    @property
    def home(self) -> Home:
        """The home of the build."""
        return self.settings.home

    def prepare_manifest(self) -> dict[str, Any]:
        """Return the content of `manifest.json`. The project is parsed only if a file of it has changed."""
        manifest, stamp = self.home.dbt_target / "manifest.json", self.home.dbt_target / "project.sha256"
        self.home.make()
        self.home.dbt_target.mkdir(parents=True, exist_ok=True)
        with FileLock(self.home.dbt_target / ".manifest.lock"):
            digest = self._digest()
            if not (manifest.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == digest):
                cached = self._cache_file(digest, "json")
                if cached.exists():
                    replace_bytes(manifest, cached.read_bytes())
                else:
                    parsed = self._parse(digest)
                    replace_file(manifest, lambda partial: parsed.write(str(partial)))  # type: ignore[no-untyped-call]
                    with suppress(OSError):
                        replace_bytes(cached, manifest.read_bytes())
                replace_text(stamp, digest)
            contents: dict[str, Any] = orjson.loads(manifest.read_bytes())
            return contents

    def build(
        self, manifest: Mapping[str, Any], command: Sequence[str], progress: Callable[[str], None]
    ) -> DbtBuild:
        """Run `dbt build`. `progress` gets a line for each finished model and each test that fails."""
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

        outcome = self._invoke(command, self._manifest(), listen)
        for result in getattr(outcome.result, "results", []):
            if result.status in FAILED:
                name = f"{result.node.resource_type} {result.node.name}"
                done.failures.append(
                    NodeFailure(
                        name,
                        result.message or str(result.status),
                        getattr(result.node, "compiled_code", None),
                        result.failures if result.status == NodeStatus.Fail else None,
                        getattr(result.node, "compiled_path", None),
                    )
                )
        if not outcome.success and not done.failures:
            log = self.home.dbt_logs / "dbt.log"
            raise DbtError(str(outcome.exception or f"dbt failed without an error message; see {log}"))
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

    def run_operation(self, macro: str, **arguments: Any) -> None:
        """Run a macro with `dbt run-operation`. Raises `DbtError` if it fails."""
        errors: list[str] = []

        def listen(message: EventMsg) -> None:
            if message.info.level == EventLevel.ERROR:
                errors.append(msg_to_dict(message)["info"]["msg"])

        command = ["run-operation", macro, *(["--args", json.dumps(arguments)] if arguments else [])]
        outcome = self._invoke(command, self._manifest(), listen)
        if not outcome.success:
            text = "\n".join(errors)
            raise DbtError(
                text or str(outcome.exception or f"the dbt macro {macro} failed without an error message")
            )

    def _manifest(self) -> Manifest | None:
        """Return the parsed project; None on a cluster, where the schema names differ from build to build."""
        return self._parse(self._digest()) if self.target == DUCKDB else None

    def _digest(self) -> str:
        versions = f"{version('dbt-core')} {version('dbt-duckdb')}"
        return hashlib.sha256(
            f"{versions} {self.project} {folders_digest(self.project)}".encode()
        ).hexdigest()

    def _cache_file(self, digest: str, suffix: str) -> Path:
        return self.project / "target" / f"parsed-{digest[:16]}.{suffix}"

    def _parse(self, digest: str) -> Manifest:
        """Return the parsed project from this process, the cache or dbt."""
        if digest in _manifests:
            return _manifests[digest]
        cached = self._cache_file(digest, "msgpack")
        # If the JSON file is missing, the project is parsed: dbt cannot write JSON from a manifest that was
        # read from msgpack.
        if cached.exists() and self._cache_file(digest, "json").exists():
            _manifests[digest] = Manifest.from_msgpack(cached.read_bytes())
            return _manifests[digest]
        outcome = self._invoke(["parse"])
        if not isinstance(outcome.result, Manifest):
            raise DbtError(f"the dbt project cannot be parsed: {outcome.exception}")
        _manifests[digest] = outcome.result
        # In a read-only installation every process parses the project.
        with suppress(OSError):
            replace_bytes(cached, outcome.result.to_msgpack())
        return outcome.result

    def _invoke(
        self,
        command: Sequence[str],
        manifest: Manifest | None = None,
        listen: Callable[[EventMsg], None] | None = None,
    ) -> dbtRunnerResult:
        token = self.settings.spark_token
        # dbt keeps variables with this prefix out of its logs.
        secrets = {"DBT_ENV_SECRET_SPARK_TOKEN": token.get_secret_value()} if token else {}
        with (
            environment(self.settings.tool_environment() | {SCHEMA_PREFIX: self.schema_prefix} | secrets),
            _plain_interrupts(),
        ):
            ctx_set_event_manager(_EventsAboveDebug())
            runner = dbtRunner(manifest=manifest, callbacks=[listen] if listen else [])
            try:
                outcome = runner.invoke(dbt_arguments(self.project, self.home, self.target, *command))
            finally:
                _close_connections()
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


class _EventsAboveDebug(EventManager):
    """dbt's events without those that nobody gets: the log begins at `info`.

    dbt makes a message of every event and only then looks at its level. Of 2,700 events of a small build
    2,400 are dropped; to make messages of them took an eighth of dbt's CPU.
    """

    def fire_event(
        self,
        e: BaseEvent,
        level: EventLevel | None = None,
        node: Any = None,
        force_warn_or_error_handling: bool = False,
    ) -> None:
        """See `EventManager`."""
        if (level or e.level_tag()) not in (EventLevel.DEBUG, EventLevel.TEST):
            super().fire_event(e, level, node, force_warn_or_error_handling)


def _close_connections() -> None:
    """Close dbt's connections to the build file: DuckDB refuses another one with other settings beside them.

    dbt-duckdb itself only forgets its environment, which closes the file when Python happens to collect it.
    """
    cleanup_connections()  # type: ignore[no-untyped-call]
    manager = DuckDBConnectionManager
    with manager._LOCK:
        if manager._ENV is not None:
            manager._ENV.close()
        manager.close_all_connections()  # type: ignore[no-untyped-call]


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, which dbt's profile reads, and restore them afterwards."""
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
    """Raise `KeyboardInterrupt` on signals, because dbt does not cancel its queries for other exceptions."""
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
    # The node's own status is `success` for a unit test that passes, so the event's status is used.
    if data["status"] in ("pass", "skipped"):
        return None
    return (
        f"{'warning' if data['status'] == 'warn' else 'FAILED'}: test {node['node_name']},"
        f" {data['num_failures']} rows"
    )
