"""Children that are there at once: forks of a process that has imported what they call, and has no threads.

A process of tests has one server that forks, so all modules that children are to find there are named here.
What a child has to import itself takes a second, and with Dagster and dbt nine.
"""

import multiprocessing
from typing import Final

CHILDREN: Final = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["tests.support.killed_loads", "tests.support.parallel_workers"])
