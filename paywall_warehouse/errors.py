"""Errors in words, for people: what is wrong, without Python's names for it."""

import re
import traceback

# `duckdb.duckdb.IOException: `, `botocore.exceptions.EndpointConnectionError: `, as `traceback` puts it
# before the words.
CLASS_PATH = re.compile(r"(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*(?::\s+|$)")
CLASS_NAME = re.compile(r"[A-Za-z_]\w*(?:Error|Exception|Timeout|Interrupt|Warning|Exit)(?::\s+|$)")
# A mistake in a program: its words alone, such as the name of a key, say nothing.
MISTAKES = re.compile(
    r"(?:Assertion|Attribute|Index|Key|Lookup|Name|NotImplemented|Recursion|Type|UnboundLocal|ZeroDivision)Error\b"
)


def without_class(message: str) -> str:
    """Return the words of an exception without the class that Python writes before them.

    A class that says all that there is to say stays, by its last name.
    """
    message = message.strip()
    found = CLASS_PATH.match(message) or (None if MISTAKES.match(message) else CLASS_NAME.match(message))
    if found is None:
        return message
    return message[found.end() :].strip() or found[0].rstrip(": \n").rpartition(".")[2]


def words_of(error: BaseException) -> str:
    """Return what an exception says; one that says nothing is named by its class."""
    return without_class("".join(traceback.format_exception_only(error)))


def first_line(error: BaseException) -> str:
    """Return an exception as a line: SQLAlchemy adds the statement and a link, DuckDB the statement."""
    return words_of(error).partition("\n")[0]


# Libraries whose errors tell of a disk, a network or a store; and those of DuckDB's that tell of a mistake in
# SQL, which is ours.
OUTSIDE = {
    "_duckdb",
    "adlfs",
    "aiobotocore",
    "aiohttp",
    "azure",
    "botocore",
    "duckdb",
    "fsspec",
    "gcsfs",
    "google",
    "requests",
    "s3fs",
    "sqlalchemy",
}
OUR_SQL = {
    "BinderException",
    "CatalogException",
    "InternalException",
    "NotImplementedException",
    "ParserException",
    "SyntaxException",
}


def is_from_outside(error: BaseException) -> bool:
    """Return whether an exception tells of the machine or of a store, not of a mistake in this program."""
    kind = type(error)
    return isinstance(error, OSError) or (
        kind.__module__.partition(".")[0] in OUTSIDE and kind.__name__ not in OUR_SQL
    )
