"""A real cluster on one machine: a metastore, a master, two workers and the Thrift server of the `pyspark`
package, on loopback.

`python -m warehouse.spark.local_cluster up` and `down`; everything that it writes is in one folder, with the
ids of its processes in `processes.json`.
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

# Its tables are made in Derby's folder `metastore_db` when it first starts; its logger wants a library that
# Spark does not bring.
METASTORE = {
    "datanucleus.schema.autoCreateAll": "true",
    "hive.metastore.schema.verification": "false",
    "hive.async.log.enabled": "false",
}
# Tables of Iceberg's beside others, in the catalog that sessions have anyhow. Derby knows no locks of Hive's.
# Without Iceberg's extension of Spark's SQL: with it, views of this catalog are made by Iceberg 1.9, whose
# `create or replace view` replaces nothing.
ICEBERG = {
    "spark.sql.catalog.spark_catalog": "org.apache.iceberg.spark.SparkSessionCatalog",
    "spark.sql.catalog.spark_catalog.type": "hive",
    "spark.hadoop.iceberg.engine.hive.lock-enabled": "false",
}


class ClusterError(Exception):
    """The cluster did not start; the text says which part and where its log is."""


@dataclass(frozen=True)
class LocalCluster:
    """Where the cluster listens and writes, and how small it is: a measurement beside it must not notice it
    much.
    """

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
    """More of Spark's settings, for the Thrift server."""

    @property
    def warehouse(self) -> Path:
        """The folder of its tables."""
        return self.folder / "warehouse"

    def commands(self, submit: str) -> dict[str, list[str]]:
        """How each part is started, in order; the Thrift server is the driver of everything that
        clients ask.
        """
        master = f"spark://{HOST}:{self.master_port}"
        parts = {
            # Beside the driver, as on clusters. Inside it, Spark's catalog and Iceberg's open the metastore
            # with settings that are not quite the same, and each throws away what the other has prepared:
            # that was half of a small run.
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
            # Not `spark.jars`: threads of the Thrift server look for classes elsewhere.
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
        """Start what is not running, and wait until the Thrift server answers."""
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
        """Stop what `up` has started, the driver first, and nothing else."""
        running = self._running()
        for part in reversed(list(running)):
            _stop(running[part])
        self._remember({})

    def processes(self) -> dict[str, int]:
        """The parts that run, with the ids of their processes."""
        return self._running()

    def _start(self, part: str, command: Sequence[str]) -> int:
        environment = {
            **os.environ,
            "SPARK_HOME": _spark_home(),
            "SPARK_LOCAL_IP": HOST,
            "SPARK_NO_DAEMONIZE": "1",
            # The Thrift server counts as a daemon too, whatever memory its driver is given.
            "SPARK_DAEMON_MEMORY": self.driver_memory if part == "thrift" else "256m",
            # The metastore's.
            "SPARK_DRIVER_MEMORY": "256m",
            "SPARK_LOCAL_DIRS": str(self.folder / "local"),
        }
        # What ignores SIGTERM, as some runners of scripts do, has children that do; Java would then only end
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
        # Twice in a row: while a process becomes another program it seems to be none.
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
    """Iceberg for Spark 3.5 and Scala 2.12, from the package that brings it."""
    return _folder_of("snowpark_connect_deps_iceberg") / "jars" / "iceberg-spark-runtime-3.5_2.12-1.9.2.jar"


def _spark_home() -> str:
    return str(_folder_of("pyspark"))


def _folder_of(package: str) -> Path:
    """Of an installed package: found, not imported, as most of this project's environments are without it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ClusterError(
            f"There is no {package} here: make spark-up installs it in an environment of its own."
        )
    return Path(found.origin).parent


def _is_running(process: int) -> bool:
    """Whether it runs, and is of the cluster: ids are used again."""
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
    """`up` or `down` for the cluster in the folder that CLUSTER_HOME names."""
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
