"""Everything about Spark: the engine, its connection, its builds, and a local cluster for tests.

Nothing outside `warehouse` imports this package, and DuckDB works without it. Models and checks for both
engines do not belong here.
"""
