"""The command `paywall-warehouse` whose builds on a cluster leave out dbt's data tests.

They are a fifth of what dbt does on Spark, and a test that compares every row with DuckDB's needs them once,
on DuckDB.
"""

from orchestration.cli.main import main
from warehouse.dbt_runner import build_command
from warehouse.spark import engine


def _models_only(*, full_refresh: bool) -> list[str]:
    return [*build_command(full_refresh=full_refresh), "--exclude-resource-type", "test"]


if __name__ == "__main__":
    engine.build_command = _models_only
    main()
