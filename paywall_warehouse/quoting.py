"""Texts as parts of SQL that DuckDB reads."""

import re


def literal(text: str) -> str:
    """A SQL text literal."""
    return "'" + text.replace("'", "''") + "'"


def file_literal(path: str) -> str:
    """A SQL text literal that names one file, in places where DuckDB would take `*`, `?` and `[` for a pattern."""
    return literal(re.sub(r"([*?\[])", r"[\1]", path))


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
