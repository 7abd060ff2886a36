"""A real cluster on one machine, from the `pyspark` package: metastore, master, two workers, Thrift server.

It listens on loopback. `python -m warehouse.spark.local_cluster up` starts it, `down` stops it. It writes to
one folder, where `processes.json` has the ids of its processes.
"""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
START_SECONDS = 120
STOP_SECONDS = 20

# At its first start the metastore creates its tables in Derby's folder `metastore_db`. Its asynchronous
# logger needs a library that Spark does not contain.
METASTORE = {
    "datanucleus.schema.autoCreateAll": "true",
    "hive.metastore.schema.verification": "false",
    "hive.async.log.enabled": "false",
}
# The default catalog of sessions has Iceberg tables beside other tables. Derby does not support Hive's locks.
# Iceberg's extension of Spark's SQL is not used: with it Iceberg 1.9 creates the views of this catalog, and
# its `create or replace view` replaces nothing.
ICEBERG = {
    "spark.sql.catalog.spark_catalog": "org.apache.iceberg.spark.SparkSessionCatalog",
    "spark.sql.catalog.spark_catalog.type": "hive",
    "spark.hadoop.iceberg.engine.hive.lock-enabled": "false",
}


class ClusterError(Exception):
    """The cluster did not start. The text names the part and its log."""


@dataclass(frozen=True)
class LocalCluster:
    """The ports, the folder and the size of the cluster. It is small, to disturb measurements little."""

    folder: Path
    port: int = 10_000
    master_port: int = 7077
    metastore_port: int = 9083
    workers: int = 2
    cores: int = 1
    memory: str = "1g"
    driver_memory: str = "1g"
    shuffle_partitions: int = 4
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further Spark settings of the Thrift server."""

    @property
    def warehouse(self) -> Path:
        """The folder of its tables."""
        return self.folder / "warehouse"

    def commands(self, submit: str) -> dict[str, list[str]]:
        """Return the command of each part, in the order of starting.

        The Thrift server is the driver of all statements of clients.
        """
        master = f"spark://{HOST}:{self.master_port}"
        parts = {
            # A process of its own, as on clusters. Inside the driver, Spark's catalog and Iceberg's open the
            # metastore with slightly different settings, and each discards the other's preparation. That was
            # half of the time of a small run.
            "metastore": [
                *("org.apache.hadoop.hive.metastore.HiveMetaStore", "-p", str(self.metastore_port)),
                *(word for name, value in METASTORE.items() for word in ("--hiveconf", f"{name}={value}")),
            ],
            "master": [
                "org.apache.spark.deploy.master.Master",
                "--host",
                HOST,
                "--port",
                str(self.master_port),
                "--webui-port",
                "0",
            ],
            **{
                f"worker-{number}": [
                    "org.apache.spark.deploy.worker.Worker",
                    *(
                        "--host",
                        HOST,
                        "--webui-port",
                        "0",
                        "--cores",
                        str(self.cores),
                        "--memory",
                        self.memory,
                    ),
                    *("--work-dir", str(self.folder / f"worker-{number}"), master),
                ]
                for number in range(1, self.workers + 1)
            },
        }
        started = {part: [submit, *arguments] for part, arguments in parts.items()}
        started["thrift"] = [
            submit.replace("spark-class", "spark-submit"),
            *self._thrift(master),
            "spark-internal",
        ]
        return started

    def _thrift(self, master: str) -> list[str]:
        settings = {
            "spark.sql.warehouse.dir": str(self.warehouse),
            "spark.hadoop.hive.metastore.uris": f"thrift://{HOST}:{self.metastore_port}",
            "spark.driver.host": HOST,
            "spark.driver.bindAddress": HOST,
            "spark.executor.memory": self.memory,
            "spark.executor.cores": str(self.cores),
            "spark.sql.shuffle.partitions": str(self.shuffle_partitions),
            "spark.ui.enabled": "false",
            "spark.hadoop.hive.server2.thrift.bind.host": HOST,
            "spark.hadoop.hive.server2.thrift.port": str(self.port),
            # Not `spark.jars`, because threads of the Thrift server do not find those classes.
            "spark.driver.extraClassPath": str(iceberg_jar()),
            "spark.executor.extraClassPath": str(iceberg_jar()),
            **ICEBERG,
            **self.settings,
        }
        return [
            *("--class", "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2", "--master", master),
            *(word for name, value in settings.items() for word in ("--conf", f"{name}={value}")),
        ]

    def up(self) -> None:
        """Start the parts that are not running, and wait until the Thrift server answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        running = self._running()
        for part, command in self.commands(_spark_home() + "/bin/spark-class").items():
            if part not in running:
                running[part] = self._start(part, command)
                self._remember(running)
            if port := {
                "metastore": self.metastore_port,
                "master": self.master_port,
                "thrift": self.port,
            }.get(part):
                self._wait(port, part, running[part])

    def down(self) -> None:
        """Stop the parts that `up` has started, the driver first."""
        running = self._running()
        for part in reversed(list(running)):
            _stop(running[part])
        self._remember({})

    def processes(self) -> dict[str, int]:
        """Return the running parts with the ids of their processes."""
        return self._running()

    def _start(self, part: str, command: Sequence[str]) -> int:
        environment = {
            **os.environ,
            "SPARK_HOME": _spark_home(),
            "SPARK_LOCAL_IP": HOST,
            "SPARK_NO_DAEMONIZE": "1",
            # The Thrift server is a daemon too, so this sets its memory, not the driver's setting.
            "SPARK_DAEMON_MEMORY": self.driver_memory if part == "thrift" else "256m",
            # For the metastore.
            "SPARK_DRIVER_MEMORY": "256m",
            "SPARK_LOCAL_DIRS": str(self.folder / "local"),
        }
        # Some script runners ignore SIGTERM, and their child processes inherit that. Java would then only end
        # when it is killed.
        command = ["env", "--default-signal=TERM", *command]
        with (self.folder / f"{part}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ).pid

    def _wait(self, port: int, part: str, process: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        # Twice in a row, because a process looks ended for a moment while it starts another program.
        gone = 0
        while time.monotonic() < deadline and gone < 2:
            with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                return
            time.sleep(0.3)
            gone = 0 if _is_running(process) else gone + 1
        raise ClusterError(
            f"The {part} of the local cluster does not answer on {HOST}:{port}; see {self.folder / part}.log."
        )

    def _running(self) -> dict[str, int]:
        with suppress(FileNotFoundError):
            known: dict[str, int] = json.loads((self.folder / "processes.json").read_text(encoding="utf-8"))
            return {part: process for part, process in known.items() if _is_running(process)}
        return {}

    def _remember(self, processes: dict[str, int]) -> None:
        (self.folder / "processes.json").write_text(json.dumps(processes), encoding="utf-8")


def iceberg_jar() -> Path:
    """Return the path of Iceberg's jar for Spark 3.5 and Scala 2.12, which a Python package contains."""
    return _folder_of("snowpark_connect_deps_iceberg") / "jars" / "iceberg-spark-runtime-3.5_2.12-1.9.2.jar"


def _spark_home() -> str:
    return str(_folder_of("pyspark"))


def _folder_of(package: str) -> Path:
    """Return the folder of an installed package, without importing it: most environments do not have it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ClusterError(
            f"The package {package} is not installed. `make spark-up` installs it in its own environment."
        )
    return Path(found.origin).parent


def _is_running(process: int) -> bool:
    """Check whether the process runs and belongs to the cluster, because process ids are reused."""
    with suppress(OSError):
        os.waitpid(process, os.WNOHANG)
    with suppress(OSError):
        return b"/pyspark/" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False


def _stop(process: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process, number)
        deadline = time.monotonic() + STOP_SECONDS
        while _is_running(process) and time.monotonic() < deadline:
            time.sleep(0.1)
        if not _is_running(process):
            return


def main() -> None:
    """Start (`up`) or stop (`down`) the cluster in the folder CLUSTER_HOME."""
    cluster = LocalCluster(Path(os.environ.get("CLUSTER_HOME", "data/cluster")).resolve())
    match sys.argv[1:]:
        case ["up"]:
            cluster.up()
            print(f"Spark listens on {HOST}:{cluster.port}; tables are in {cluster.warehouse}")
        case ["down"]:
            cluster.down()
        case _:
            sys.exit("usage: python -m warehouse.spark.local_cluster up | down")


if __name__ == "__main__":
    main()
