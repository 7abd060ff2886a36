"""Exceptions as messages for users: the fault, without Python's class names."""

import re
import traceback

# `duckdb.duckdb.IOException: `, `botocore.exceptions.EndpointConnectionError: `, which `traceback` writes
# before
# the message.
CLASS_PATH = re.compile(r"(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*(?::\s+|$)")
CLASS_NAME = re.compile(r"[A-Za-z_]\w*(?:Error|Exception|Timeout|Interrupt|Warning|Exit)(?::\s+|$)")
# Programming errors: their message alone, such as the name of a key, means nothing.
MISTAKES = re.compile(
    r"(?:Assertion|Attribute|Index|Key|Lookup|Name|NotImplemented|Recursion|Type|UnboundLocal"
    r"|ZeroDivision)Error\b"
)


def without_class(message: str) -> str:
    """Return the message of an exception without the class that Python writes before it.

    For an exception without a message, return the last part of the class name.
    """
    message = message.strip()
    found = CLASS_PATH.match(message) or (None if MISTAKES.match(message) else CLASS_NAME.match(message))
    if found is None:
        return message
    return message[found.end() :].strip() or found[0].rstrip(": \n").rpartition(".")[2]


def words_of(error: BaseException) -> str:
    """Return the message of an exception, or the name of its class if it has none."""
    return without_class("".join(traceback.format_exception_only(error)))


def first_line(error: BaseException) -> str:
    """Return the first line of a message: SQLAlchemy adds the statement and a link, DuckDB the statement."""
    return words_of(error).partition("\n")[0]


# Libraries whose errors come from a disk, a network or a store, and errors of DuckDB that are mistakes in
# this
# program's SQL.
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
    """Return whether an exception comes from the machine or a store, not from a mistake in this program."""
    kind = type(error)
    return isinstance(error, OSError) or (
        kind.__module__.partition(".")[0] in OUTSIDE and kind.__name__ not in OUR_SQL
    )
