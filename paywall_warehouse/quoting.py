"""Quoting texts for DuckDB's SQL and for terminals."""

import re
from collections.abc import Iterable

# Characters that move a cursor, colour a terminal, or change the order in which text is shown.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return a text from outside for terminals and logs, with control characters written as `\\x1b`."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_lines(text: str) -> str:
    """Return a text of several lines, each of them as `printable` returns it."""
    return "\n".join(map(printable, text.split("\n")))


def literal(text: str) -> str:
    """Return a SQL text literal."""
    return "'" + text.replace("'", "''") + "'"


def texts_list(texts: Iterable[str]) -> str:
    """Return a SQL list of texts."""
    return f"[{', '.join(map(literal, texts))}]"


def file_literal(path: str) -> str:
    """Return a SQL text literal for the path of one file where DuckDB would expand `*`, `?` and `[`."""
    return literal(re.sub(r"([*?\[])", r"[\1]", path))


def quoted(name: str) -> str:
    """Return a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
