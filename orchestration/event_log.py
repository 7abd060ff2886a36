"""Dagster's event log in SQLite files, for a process that writes a run's many events one by one.

Dagster opens a database, and prepares its statements anew, for every event: 7 ms for each of the 600 of a
run. Here an engine is kept for each file. Only `paywall-warehouse run` uses it; Dagster's UI and daemon read
the same files in their own way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, _event_logs_directory
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine

from orchestration.history import check_history


class KeptEventLog(SqliteEventLogStorage):
    """`SqliteEventLogStorage` with one engine a file instead of one a statement."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._engines: dict[str, Engine] = {}
        super().__init__(*args, **kwargs)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engines.get(shard)
            if engine is None:
                # Any thread may write, one at a time: the lock is held for as long as a connection is out.
                arguments = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False}
                engine = create_engine(self.conn_string_for_shard(shard), connect_args=arguments)
                if shard not in self._initialized_dbs:
                    self._initdb(engine)
                    self._initialized_dbs.add(shard)
                self._engines[shard] = engine
            with engine.begin() as connection:
                yield connection

    def dispose(self) -> None:
        """Close the files."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()
        super().dispose()


class SqliteStorage(DagsterSqliteStorage):
    """`DagsterSqliteStorage` with a `KeptEventLog`."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> Self:
        """As Dagster makes it of its settings."""
        return cls.from_local(inst_data=inst_data, **config_value)

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = KeptEventLog(_event_logs_directory(base_dir))


def open_with_kept_event_log(folder: str) -> DagsterInstance:
    """The instance of a `DAGSTER_HOME`; where its `dagster.yaml` names another storage than Dagster's own
    files, with that.
    """
    ref = InstanceRef.from_dir(folder)
    storage = ref.storage_data
    if storage is not None and storage.class_name == DagsterSqliteStorage.__name__:
        check_history(Path(folder))
        ref = ref._replace(
            storage_data=storage._replace(
                module_name=SqliteStorage.__module__, class_name=SqliteStorage.__name__
            )
        )
    return DagsterInstance.from_ref(ref)
