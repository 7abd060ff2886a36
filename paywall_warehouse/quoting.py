"""Texts as parts of SQL that DuckDB reads."""

import re
from collections.abc import Iterable


def literal(text: str) -> str:
    """A SQL text literal."""
    return "'" + text.replace("'", "''") + "'"


def texts_list(texts: Iterable[str]) -> str:
    """A SQL list of texts."""
    return f"[{', '.join(map(literal, texts))}]"


def file_literal(path: str) -> str:
    """A SQL text literal that names one file, in places where DuckDB would take `*`, `?` and `[` for a pattern."""
    return literal(re.sub(r"([*?\[])", r"[\1]", path))


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
