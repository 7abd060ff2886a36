"""The work of Spark's tasks, from its event log (`spark.eventLog.enabled`)."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

JOB_START, TASK_END = "SparkListenerJobStart", "SparkListenerTaskEnd"
READ = tuple(f'{{"Event":"{event}"' for event in (JOB_START, TASK_END))
# The comment by which dbt marks the statements of a node.
NODE = re.compile(r'"node_id": "(?:\w+)\.\w+\.(\w+)')
COPIES, CHECKS = "marts brought back", "checks"


@dataclass(frozen=True)
class Tasks:
    """The sums of the work of tasks."""

    cpu_seconds: float = 0
    shuffled_mb: float = 0
    spilled_mb: float = 0
    tasks: int = 0
    cpu_by_node: Counter[str] = field(default_factory=Counter)
    """`cpu_seconds` by dbt's model or test. Statements that are not dbt's are `COPIES` or `CHECKS`."""

    def since(self, before: "Tasks") -> "Tasks":
        """Return the work after `before`."""
        return Tasks(
            self.cpu_seconds - before.cpu_seconds,
            self.shuffled_mb - before.shuffled_mb,
            self.spilled_mb - before.spilled_mb,
            self.tasks - before.tasks,
            self.cpu_by_node - before.cpu_by_node,
        )


def tasks_of(events: Path) -> Tasks:
    """Return the sums of all tasks in the event logs of a folder."""
    cpu, shuffled, spilled, tasks = 0.0, 0, 0, 0
    by_node: Counter[str] = Counter()
    for log in events.iterdir():
        nodes: dict[int, str] = {}
        for event in _events(log):
            if event["Event"] == JOB_START:
                # The Thrift server describes a statement's jobs by its text.
                nodes |= dict.fromkeys(
                    event["Stage IDs"],
                    _node_of(event.get("Properties", {}).get("spark.job.description", "")),
                )
            else:
                done = event.get("Task Metrics") or {}
                seconds = done.get("Executor CPU Time", 0) / 1e9
                cpu += seconds
                by_node[nodes.get(event["Stage ID"], CHECKS)] += seconds
                shuffled += done.get("Shuffle Write Metrics", {}).get("Shuffle Bytes Written", 0)
                spilled += done.get("Disk Bytes Spilled", 0)
                tasks += 1
    return Tasks(cpu, shuffled / 1e6, spilled / 1e6, tasks, by_node)


def _node_of(statement: str) -> str:
    found = NODE.search(statement)
    return found[1] if found else COPIES if statement.startswith("insert overwrite directory") else CHECKS


def _events(log: Path) -> Iterator[dict[str, Any]]:
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            # The last line may be incomplete. Each line names its event first.
            if line.startswith(READ) and line.endswith("}\n"):
                yield json.loads(line)
