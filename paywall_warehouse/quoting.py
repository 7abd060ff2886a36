"""Texts as parts of SQL that DuckDB reads, and on terminals."""

import re
from collections.abc import Iterable

# What moves a cursor, colours a terminal, or shows text in another order than it has.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """A text from outside for terminals and logs: control characters as `\\x1b`."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_lines(text: str) -> str:
    """`printable` for a text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def literal(text: str) -> str:
    """A SQL text literal."""
    return "'" + text.replace("'", "''") + "'"


def texts_list(texts: Iterable[str]) -> str:
    """A SQL list of texts."""
    return f"[{', '.join(map(literal, texts))}]"


def file_literal(path: str) -> str:
    """A SQL text literal that names one file, in places where DuckDB would take `*`, `?` and `[` for a
    pattern.
    """
    return literal(re.sub(r"([*?\[])", r"[\1]", path))


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
