"""A Spark cluster for tests, on loopback."""
